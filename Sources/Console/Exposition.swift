/// Writes metrics in Prometheus' text format 0.0.4.
public enum Exposition {
    /// The content type of the format.
    public static let contentType = "text/plain; version=0.0.4; charset=utf-8"
    /// How many lines of figures are written at most; the rest is left out and counted in the last line.
    public static let samplesMax = 50_000

    /// The text. Families of the same name and kind are put together, as the format demands; one of another kind under
    /// a name that is taken is left out.
    public static func text(_ families: [MetricFamily]) -> String {
        var order: [String] = []
        var byName: [String: MetricFamily] = [:]
        for family in families {
            let name = metricName(family.name)
            if byName[name] == nil {
                order.append(name)
                byName[name] = family
            } else if byName[name]?.kind == family.kind {
                byName[name]?.samples += family.samples
            }
        }
        var text = ""
        var left = samplesMax
        var leftOut = 0
        for name in order {
            guard let family = byName[name] else { continue }
            text += "# HELP \(name) \(escapedHelp(family.help))\n# TYPE \(name) \(family.kind.rawValue)\n"
            for sample in family.samples {
                guard left > 0 else {
                    leftOut += 1
                    continue
                }
                left -= 1
                write(sample, name, into: &text)
            }
        }
        if leftOut > 0 {
            text += "# HELP causeway_metrics_left_out Figures beyond the limit of one exposition.\n"
            text += "# TYPE causeway_metrics_left_out gauge\ncauseway_metrics_left_out \(leftOut)\n"
        }
        return text
    }

    private static func write(_ sample: MetricSample, _ name: String, into text: inout String) {
        let labels = sample.labels.map { "\(labelName($0.name))=\"\(escapedLabel($0.value))\"" }
        switch sample.value {
        case .number(let value):
            text += name + braced(labels) + " \(number(value))\n"
        case .histogram(let histogram):
            var total: UInt64 = 0
            for (index, count) in histogram.counts.enumerated() {
                total &+= count
                let bound = index < histogram.bounds.count ? number(histogram.bounds[index]) : "+Inf"
                text += "\(name)_bucket" + braced(labels + ["le=\"\(bound)\""]) + " \(total)\n"
            }
            text += "\(name)_sum" + braced(labels) + " \(number(histogram.sum))\n"
            text += "\(name)_count" + braced(labels) + " \(total)\n"
        }
    }

    private static func braced(_ labels: [String]) -> String {
        labels.isEmpty ? "" : "{" + labels.joined(separator: ",") + "}"
    }

    /// A number as Prometheus reads it: whole ones without a point.
    static func number(_ value: Double) -> String {
        if value.isNaN { return "NaN" }
        if value.isInfinite { return value < 0 ? "-Inf" : "+Inf" }
        if let whole = Int64(exactly: value), whole.magnitude < 1 << 53 { return "\(whole)" }
        return "\(value)"
    }

    /// A name of the alphabet `[a-zA-Z_:][a-zA-Z0-9_:]*`; other characters become `_`.
    static func metricName(_ name: String) -> String { cleaned(name, allowsColon: true) }

    /// A name of the alphabet `[a-zA-Z_][a-zA-Z0-9_]*`; other characters become `_`.
    static func labelName(_ name: String) -> String { cleaned(name, allowsColon: false) }

    private static func cleaned(_ name: String, allowsColon: Bool) -> String {
        var result = ""
        for byte in name.utf8 {
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "_"):
                result.unicodeScalars.append(Unicode.Scalar(byte))
            case UInt8(ascii: "0")...UInt8(ascii: "9"):
                if result.isEmpty { result = "_" }
                result.unicodeScalars.append(Unicode.Scalar(byte))
            case UInt8(ascii: ":") where allowsColon:
                result += ":"
            default:
                result += "_"
            }
        }
        return result.isEmpty ? "_" : result
    }

    /// A label's value: backslash, quote and line feed escaped; other control characters shown as a space, so that
    /// what came from outside cannot break a line.
    static func escapedLabel(_ text: String) -> String { escaped(text, quotes: true) }

    /// A help text: backslash and line feed escaped.
    static func escapedHelp(_ text: String) -> String { escaped(text, quotes: false) }

    private static func escaped(_ text: String, quotes: Bool) -> String {
        var result = String.UnicodeScalarView()
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\\": result.append(contentsOf: "\\\\".unicodeScalars)
            case "\n": result.append(contentsOf: "\\n".unicodeScalars)
            case "\"" where quotes: result.append(contentsOf: "\\\"".unicodeScalars)
            case _ where scalar.value < 0x20 || scalar.value == 0x7F: result.append(" ")
            default: result.append(scalar)
            }
        }
        return String(result)
    }
}
