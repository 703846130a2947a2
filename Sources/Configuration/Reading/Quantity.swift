/// Durations and byte counts as people write them.
enum Quantity {
    /// Why a text is not a quantity.
    struct Malformed: Error {
        var message: String
        var hint: String
    }

    private static let durationUnits: [(suffix: String, milliseconds: Int64)] = [
        ("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000), ("w", 604_800_000),
    ]

    private static let byteUnits: [(suffix: String, bytes: Int64)] = [
        ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40),
        ("kB", 1_000), ("KB", 1_000), ("MB", 1_000_000), ("GB", 1_000_000_000), ("TB", 1_000_000_000_000),
        ("B", 1), ("", 1),
    ]

    /// The longest duration that is taken, about a hundred years: far from every overflow further down.
    static let durationMillisecondsMax: Int64 = 100 * 366 * 86_400_000

    /// Reads `200ms`, `30s`, `5m`, `24h`, `7d`, `2w` or `0`.
    static func milliseconds(_ text: String) throws(Malformed) -> Int64 {
        if text == "0" { return 0 }
        let (digits, unit) = split(text)
        guard !digits.isEmpty else {
            throw Malformed(
                message: "'\(text)' is not a duration",
                hint: "write a number and a unit: 200ms, 30s, 5m, 24h, 7d"
            )
        }
        guard !unit.isEmpty else {
            throw Malformed(message: "'\(text)' has no unit", hint: "write \(text)s, \(text)m or \(text)h")
        }
        guard let factor = durationUnits.first(where: { $0.suffix == unit })?.milliseconds else {
            throw Malformed(
                message: "'\(text)' is not a duration",
                hint: "units are ms, s, m, h, d and w, and the number is whole"
            )
        }
        return try multiply(digits, factor, max: durationMillisecondsMax, what: "a duration", text: text)
    }

    /// Reads `64MiB`, `8GiB`, `2MB` or `65536`.
    static func bytes(_ text: String) throws(Malformed) -> Int64 {
        let (digits, unit) = split(text)
        guard !digits.isEmpty, let factor = byteUnits.first(where: { $0.suffix == unit })?.bytes else {
            throw Malformed(
                message: "'\(text)' is not a number of bytes",
                hint: "write a whole number with B, KiB, MiB, GiB, TiB, kB, MB, GB or TB: 64MiB"
            )
        }
        return try multiply(digits, factor, max: .max, what: "a number of bytes", text: text)
    }

    /// Writes a duration the way it is read.
    static func describe(milliseconds: Int64) -> String {
        guard milliseconds != 0 else { return "0" }
        for unit in durationUnits.reversed() where unit.suffix != "w" && milliseconds % unit.milliseconds == 0 {
            return "\(milliseconds / unit.milliseconds)\(unit.suffix)"
        }
        return "\(milliseconds)ms"
    }

    /// Writes a byte count the way it is read.
    static func describe(bytes: Int64) -> String {
        guard bytes != 0 else { return "0" }
        for unit in byteUnits.prefix(4).reversed() where bytes % unit.bytes == 0 {
            return "\(bytes / unit.bytes)\(unit.suffix)"
        }
        return "\(bytes)"
    }

    private static func split(_ text: String) -> (digits: Substring, unit: Substring) {
        let digits = text.prefix { $0.isASCIIDigit }
        let unit = text[digits.endIndex...].drop { $0 == " " }
        return (digits, unit)
    }

    private static func multiply(
        _ digits: Substring,
        _ factor: Int64,
        max: Int64,
        what: String,
        text: String
    ) throws(Malformed) -> Int64 {
        let number = Int64(digits)
        let product = number?.multipliedReportingOverflow(by: factor)
        guard let product, !product.overflow, product.partialValue <= max else {
            throw Malformed(message: "'\(text)' is too large for \(what)", hint: "write a smaller number")
        }
        return product.partialValue
    }
}
