/// Decimal numbers as text, so that rounding never goes through binary floating point.
enum DecimalText {
    /// Exponents beyond this are no measurement.
    private static let exponentMax = 400

    /// Rounds a JSON number to a number of decimals, half away from zero. Numbers that have no more are returned as
    /// they are. nil if the number is beyond all measure.
    static func round(_ text: ArraySlice<UInt8>, decimals: Int) -> [UInt8]? {
        var rest = text
        let isNegative = rest.first == UInt8(ascii: "-")
        if isNegative { rest = rest.dropFirst() }
        let mantissa = rest.prefix { $0 != UInt8(ascii: "e") && $0 != UInt8(ascii: "E") }
        let exponentText = rest.dropFirst(mantissa.count + 1).drop { $0 == UInt8(ascii: "+") }
        let exponent = exponentText.isEmpty ? 0 : Int(String(decoding: exponentText, as: UTF8.self))
        guard let exponent, abs(exponent) <= exponentMax else { return nil }
        let whole = mantissa.prefix { $0 != UInt8(ascii: ".") }
        var digits = (whole + mantissa.dropFirst(whole.count + 1)).map { $0 - 0x30 }
        // The point stands before digits[point].
        var point = whole.count + exponent
        let kept = point + decimals
        guard kept < digits.count else { return Array(text) }
        guard kept >= 0 else { return [0x30] }
        let isUp = digits[kept] >= 5
        digits.removeSubrange(kept...)
        if isUp {
            var index = kept - 1
            while index >= 0, digits[index] == 9 {
                digits[index] = 0
                index -= 1
            }
            if index >= 0 {
                digits[index] += 1
            } else {
                digits.insert(1, at: 0)
                point += 1
            }
        }
        return write(digits, point: point, isNegative: isNegative)
    }

    private static func write(_ digits: [UInt8], point: Int, isNegative: Bool) -> [UInt8] {
        guard digits.contains(where: { $0 != 0 }) else { return [0x30] }
        var output: [UInt8] = isNegative ? [UInt8(ascii: "-")] : []
        let whole = digits.prefix(max(0, point)).drop { $0 == 0 }
        output += whole.isEmpty ? [0x30] : whole.map { $0 + 0x30 }
        let zeros = [UInt8](repeating: 0x30, count: max(0, -point))
        let decimals = zeros + digits.dropFirst(max(0, point)).map { $0 + 0x30 }
        if !decimals.isEmpty { output += [UInt8(ascii: ".")] + decimals }
        return output
    }
}
