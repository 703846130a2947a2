import Audit

extension AuditText {
    /// A value as it may stand on a terminal: what a client sent moves no cursor.
    static func shown(_ value: String) -> String {
        let isPlain = value.unicodeScalars.allSatisfy { $0.value > 0x20 && $0.value < 0x7F && $0 != "\"" }
        return isPlain && !value.isEmpty ? value : quoted(value)
    }
}
