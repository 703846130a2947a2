internal import Glibc

/// How values are written: what a client sent can neither end a line nor forge a field.
public enum AuditText {
    /// Bytes of one value; what is beyond is cut, and the cut is marked.
    public static let valueBytesMax = 1_024

    private static let digits = Array("0123456789abcdef".utf8)

    /// Milliseconds since 1970-01-01 UTC, as the system's clock has it.
    public static func wallMilliseconds() -> Int64 {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Int64(time.tv_sec) * 1_000 + Int64(time.tv_nsec) / 1_000_000
    }

    /// Appends a JSON string. Control characters, line separators and characters that turn the direction of writing
    /// are escaped, so that a line shows on a terminal as it is.
    static func append(_ text: String, to bytes: inout [UInt8]) {
        bytes.append(UInt8(ascii: "\""))
        let limit = bytes.count + valueBytesMax
        for scalar in text.unicodeScalars {
            guard bytes.count < limit else {
                bytes += Array("…".utf8)
                break
            }
            switch scalar {
            case "\"": bytes += Array("\\\"".utf8)
            case "\\": bytes += Array("\\\\".utf8)
            default:
                if isDangerous(scalar) { escape(scalar, to: &bytes) } else { bytes += Array(String(scalar).utf8) }
            }
        }
        bytes.append(UInt8(ascii: "\""))
    }

    private static func isDangerous(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 0..<0x20, 0x7F..<0xA0, 0x200B...0x200F, 0x2028...0x202E, 0x2060...0x2069, 0xFEFF, 0xFFF0...0xFFFF: true
        case 0x1_0000...: scalar.properties.generalCategory == .format
        default: false
        }
    }

    private static func escape(_ scalar: Unicode.Scalar, to bytes: inout [UInt8]) {
        for unit in String(scalar).utf16 {
            bytes += [UInt8(ascii: "\\"), UInt8(ascii: "u")]
            for shift in [12, 8, 4, 0] { bytes.append(digits[Int(unit >> UInt16(shift)) & 0xF]) }
        }
    }

    /// Bytes in lower case hexadecimal.
    static func hexadecimal(_ bytes: UnsafeRawBufferPointer) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: bytes.count * 2) { text, count in
            for index in 0..<bytes.count {
                text[index * 2] = digits[Int(bytes[index] >> 4)]
                text[index * 2 + 1] = digits[Int(bytes[index] & 0xF)]
            }
            count = bytes.count * 2
        }
    }

    /// Appends an instant as RFC 3339 has it, in UTC with milliseconds.
    static func append(wallMilliseconds: Int64, to bytes: inout [UInt8]) {
        bytes += Array(timestamp(wallMilliseconds).utf8)
    }

    /// An instant as RFC 3339 has it, in UTC with milliseconds.
    public static func timestamp(_ wallMilliseconds: Int64) -> String {
        let dayMilliseconds: Int64 = 86_400_000
        var days = wallMilliseconds / dayMilliseconds
        var rest = wallMilliseconds % dayMilliseconds
        if rest < 0 {
            rest += dayMilliseconds
            days -= 1
        }
        let (year, month, day) = date(daysSince1970: days)
        func two(_ value: Int64) -> String { value < 10 ? "0\(value)" : "\(value)" }
        let milliseconds = rest % 1_000
        let padding = milliseconds < 10 ? "00" : milliseconds < 100 ? "0" : ""
        let seconds = rest / 1_000
        let clock = "\(two(seconds / 3_600)):\(two(seconds / 60 % 60)):\(two(seconds % 60))"
        return "\(year)-\(two(month))-\(two(day))T\(clock).\(padding)\(milliseconds)Z"
    }

    /// Reads what ``timestamp(_:)`` writes.
    static func wallMilliseconds(of text: String) -> Int64? {
        let numbers = text.utf8.split { !(0x30...0x39).contains($0) }.compactMap { Int64(Substring($0)) }
        guard numbers.count == 7, text.utf8.count == 24 else { return nil }
        // Days before a date, by years that begin in March.
        let year = numbers[1] <= 2 ? numbers[0] - 1 : numbers[0]
        let era = (year >= 0 ? year : year - 399) / 400
        let yearOfEra = year - era * 400
        let month = numbers[1] > 2 ? numbers[1] - 3 : numbers[1] + 9
        let dayOfYear = (153 * month + 2) / 5 + numbers[2] - 1
        let days = era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
        return ((days * 24 + numbers[3]) * 60 + numbers[4]) * 60_000 + numbers[5] * 1_000 + numbers[6]
    }

    /// The proleptic Gregorian date of a day: years are counted from March, so that the leap day is the last of them.
    private static func date(daysSince1970: Int64) -> (year: Int64, month: Int64, day: Int64) {
        let days = daysSince1970 + 719_468
        let era = (days >= 0 ? days : days - 146_096) / 146_097
        let dayOfEra = days - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1_460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shifted = (5 * dayOfYear + 2) / 153
        let month = shifted < 10 ? shifted + 3 : shifted - 9
        return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, dayOfYear - (153 * shifted + 2) / 5 + 1)
    }
}
