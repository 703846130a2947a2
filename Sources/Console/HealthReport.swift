/// How something is, in four words that mean the same everywhere in Causeway.
public enum HealthStatus: String, Sendable, Hashable, CaseIterable {
    /// It does its work.
    case available
    /// It does its work, but something is wrong that somebody should look at.
    case degraded
    /// It does not do its work.
    case unavailable
    /// That cannot be said, for instance because it is starting.
    case unknown
}

/// One reason for a status.
public struct HealthReason: Sendable, Hashable {
    /// A stable word for programs, such as `journal_failed`.
    public var code: String
    /// A sentence for people. It holds no payloads, credentials or personal identifiers.
    public var message: String

    /// Makes a reason.
    public init(code: String, message: String) {
        self.code = code
        self.message = message
    }
}

/// How something is, and why.
public struct HealthReport: Sendable, Hashable {
    /// The status.
    public var status: HealthStatus
    /// Why it is not ``HealthStatus/available``; empty if it is.
    public var reasons: [HealthReason]

    /// Makes a report.
    public init(status: HealthStatus, reasons: [HealthReason] = []) {
        self.status = status
        self.reasons = reasons
    }

    /// All is well.
    public static let available = HealthReport(status: .available)

    /// The report as JSON: `{"status":"degraded","reasons":[{"code":"…","message":"…"}]}`.
    public var json: String {
        let reasons = reasons.map {
            "{\"code\":\(JSONString.quoted($0.code)),\"message\":\(JSONString.quoted($0.message))}"
        }
        return "{\"status\":\"\(status.rawValue)\",\"reasons\":[\(reasons.joined(separator: ","))]}"
    }
}

/// Text as a JSON string.
enum JSONString {
    /// In quotes, with what JSON forbids escaped.
    static func quoted(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case "\n": result += "\\n"
            case "\r": result += "\\r"
            case "\t": result += "\\t"
            case _ where scalar.value < 0x20 || scalar.value == 0x7F:
                let digits = String(scalar.value, radix: 16)
                result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }
}
