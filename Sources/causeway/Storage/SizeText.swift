import Foundation

/// Sizes and moments as people read them.
enum SizeText {
    private static let units = ["B", "KiB", "MiB", "GiB", "TiB"]

    /// Such as `64 MiB` or `1.5 GiB`.
    static func bytes(_ count: Int) -> String {
        var value = Double(count)
        var unit = 0
        while value >= 1_024, unit < units.count - 1 {
            value /= 1_024
            unit += 1
        }
        let isWhole = unit == 0 || value >= 100 || value == value.rounded()
        return "\(isWhole ? "\(Int(value.rounded()))" : decimal(value)) \(units[unit])"
    }

    /// One digit behind the point, without a locale.
    static func decimal(_ value: Double) -> String {
        let tenths = Int((value * 10).rounded())
        return "\(tenths / 10).\(tenths % 10)"
    }

    /// A moment, milliseconds since 1970-01-01 UTC, in ISO 8601.
    static func moment(_ milliseconds: Int64) -> String {
        Date(timeIntervalSince1970: Double(milliseconds) / 1_000)
            .formatted(.iso8601.time(includingFractionalSeconds: true))
    }

    /// Such as `1 segment` and `2 segments`.
    static func count(_ number: some BinaryInteger, _ noun: String) -> String {
        "\(number) \(noun)\(number == 1 ? "" : "s")"
    }
}
