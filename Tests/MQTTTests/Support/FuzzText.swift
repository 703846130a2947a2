import NIOCore

@testable import MQTT

/// UTF-8 as the decoder checks it against the library's own reader and a character by character look.
enum FuzzText {
    /// What is wrong, or nil.
    static func run(_ input: [UInt8]) -> String? {
        let check = input.withUnsafeBytes { UTF8Check($0) }
        let text = String(validating: input, as: UTF8.self)
        let isValid = text != nil && !input.contains(0)
        guard check.isValid == isValid else { return "well formed: \(check.isValid), expected \(isValid)" }
        guard isValid, let text else { return nil }
        let scalars = text.unicodeScalars
        let controls = scalars.contains { scalar in
            scalar.value < 0x20 || (0x7F..<0xA0).contains(scalar.value) || scalar.value & 0xFFFE == 0xFFFE
                || (0xFDD0...0xFDEF).contains(scalar.value)
        }
        guard check.hasControls == controls else { return "control characters: \(check.hasControls)" }
        guard check.hasWildcards == scalars.contains(where: { $0 == "+" || $0 == "#" }) else {
            return "wildcards: \(check.hasWildcards)"
        }
        guard check.separators == scalars.count(where: { $0 == "/" }) else { return "separators: \(check.separators)" }
        return share(input, text)
    }

    /// `$share/NAME/FILTER` is taken apart at its second and third level, and nowhere else (section 4.8.2).
    private static func share(_ input: [UInt8], _ text: String) -> String? {
        let levels = input.split(separator: 0x2F, maxSplits: 2, omittingEmptySubsequences: false).map { Array($0) }
        guard let filter = try? TopicFilter(bytes: input) else { return nil }
        let isShared = levels[0] == Array("$share".utf8)
        guard filter.isShared == isShared else { return "shared: \(filter.isShared), expected \(isShared)" }
        guard isShared else { return filter.string == text ? nil : "the filter's text is another one" }
        guard levels.count == 3, !levels[1].isEmpty, !levels[2].isEmpty else {
            return "a share without a name or filter"
        }
        guard !levels[1].contains(0x2B), !levels[1].contains(0x23) else { return "a share's name with a wildcard" }
        guard Array(filter.unshared.string.utf8) == levels[2] else {
            return "the filter behind the share is another one"
        }
        return nil
    }
}
