/// One thing that `causeway doctor` looked at.
struct DoctorFinding: Encodable, Equatable {
    /// How it is.
    enum Status: String, Encodable {
        /// As it should be.
        case good
        /// It works, and may not be what is wanted.
        case warning
        /// A site will not run, will lose what it acknowledged, or give away what it should keep.
        case wrong
    }

    /// What was looked at, as a stable name.
    var check: String
    var status: Status
    /// What was found, in one sentence.
    var message: String
    /// What to do about it; nil where nothing has to be done.
    var advice: String?

    static func good(_ check: String, _ message: String) -> DoctorFinding {
        DoctorFinding(check: check, status: .good, message: message)
    }

    static func warning(_ check: String, _ message: String, _ advice: String) -> DoctorFinding {
        DoctorFinding(check: check, status: .warning, message: message, advice: advice)
    }

    static func wrong(_ check: String, _ message: String, _ advice: String) -> DoctorFinding {
        DoctorFinding(check: check, status: .wrong, message: message, advice: advice)
    }
}
