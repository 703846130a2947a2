internal import Foundation

extension CloudReport {
    /// The report as text tables.
    public var text: String {
        var lines = siteLines
        if sites.isEmpty { lines = ["No site has sent anything yet."] }
        if !hours.isEmpty { lines += ["", "Hourly roll-ups (UTC)", ""] + hourLines }
        return lines.joined(separator: "\n") + "\n"
    }

    /// The report as one JSON document on one line, with sorted keys.
    public var json: String {
        let document = Document(milliseconds: milliseconds, sites: sites, hours: hours)
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        // Roll-ups are finite by construction; a number that is not becomes text instead of an error.
        encoder.nonConformingFloatEncodingStrategy = .convertToString(
            positiveInfinity: "inf",
            negativeInfinity: "-inf",
            nan: "nan"
        )
        encoder.keyEncodingStrategy = .convertToSnakeCase
        guard let data = try? encoder.encode(document) else { return "{}" }
        return String(decoding: data, as: UTF8.self)
    }

    private struct Document: Encodable {
        var milliseconds: Int64
        var sites: [Site]
        var hours: [Hour]
    }

    private var siteLines: [String] {
        var table = TextTable(
            [
                "SITE", "EPOCH", "STORED", "WATERMARK", "HIGHEST", "MISSING", "DROPPED", "DUPLICATES", "FENCED",
                "LAST SEEN",
            ],
            numeric: [1, 2, 3, 4, 5, 6, 7, 8]
        )
        for site in sites {
            table.add([
                site.site,
                "\(site.epoch)\(site.isCurrent ? "" : " past")",
                "\(site.stored)",
                "\(site.watermark)",
                "\(site.highest)",
                "\(site.missing)",
                "\(site.dropped.values.reduce(0, &+))",
                "\(site.duplicatesRefused)",
                "\(site.fenced)",
                "\(Self.time(site.seenMilliseconds)) (\(Self.age(site.lagMilliseconds)) ago)",
            ])
        }
        var lines = table.lines
        for site in sites where site.missing > 0 {
            lines.append("\(site.site) epoch \(site.epoch) misses \(Self.ranges(site))")
        }
        for site in sites where !site.dropped.isEmpty {
            let reasons = site.dropped.sorted { $0.key < $1.key }.map { "\($0.value) \($0.key)" }
            lines.append("\(site.site) epoch \(site.epoch) dropped \(reasons.joined(separator: ", "))")
        }
        return lines
    }

    private var hourLines: [String] {
        var table = TextTable(
            ["SITE", "STREAM", "HOUR", "MESSAGES", "BYTES", "MIN", "AVG", "MAX"],
            numeric: [3, 4, 5, 6, 7]
        )
        for hour in hours {
            table.add([
                hour.site,
                Self.printable(hour.stream),
                String(Self.time(hour.hourMilliseconds).prefix(13)) + "h",
                "\(hour.count)",
                "\(hour.bytes)",
                Self.number(hour.minimum),
                Self.number(hour.average),
                Self.number(hour.maximum),
            ])
        }
        return table.lines
    }

    private static func ranges(_ site: Site) -> String {
        let listed = site.missingRanges.map { $0.first == $0.last ? "\($0.first)" : "\($0.first)-\($0.last)" }
        let more = site.missingRangeCount - listed.count
        return listed.joined(separator: ", ") + (more > 0 ? " and \(more) more ranges" : "")
    }

    /// A stream's name comes from topics: what a terminal would obey is shown as `?`.
    private static func printable(_ text: String) -> String {
        String(
            String.UnicodeScalarView(
                text.unicodeScalars.map { scalar in
                    switch scalar.properties.generalCategory {
                    case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate, .privateUse, .unassigned:
                        "?"
                    default:
                        scalar
                    }
                }
            )
        )
    }

    private static func number(_ value: Double?) -> String {
        value.map { String(format: "%.2f", $0) } ?? "-"
    }

    private static func age(_ milliseconds: Int64) -> String {
        let seconds = milliseconds / 1_000
        switch seconds {
        case ..<120: return "\(seconds) s"
        case ..<7_200: return "\(seconds / 60) min"
        case ..<172_800: return "\(seconds / 3_600) h"
        default: return "\(seconds / 86_400) d"
        }
    }

    /// `2026-11-22 21:40:05` in UTC.
    private static func time(_ milliseconds: Int64) -> String {
        let date = Date(timeIntervalSince1970: Double(milliseconds) / 1_000)
        return date.formatted(
            Date.VerbatimFormatStyle(
                format: """
                    \(year: .padded(4))-\(month: .twoDigits)-\(day: .twoDigits) \
                    \(hour: .twoDigits(clock: .twentyFourHour, hourCycle: .zeroBased)):\(minute: .twoDigits):\
                    \(second: .twoDigits)
                    """,
                locale: Locale(identifier: "en_US_POSIX"),
                timeZone: .gmt,
                calendar: Calendar(identifier: .gregorian)
            )
        )
    }
}
