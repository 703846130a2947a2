import Foundation

/// What the demo proves at its end, counted at the source and in the cloud's database.
struct DemoProof: Encodable {
    /// Messages that devices published and the site acknowledged.
    var published: UInt64
    /// Decisions of the handlers, each committed once.
    var decided: UInt64
    /// Messages that the bridge took for the cloud, gap notes included.
    var bridged: UInt64
    /// Messages in the cloud's database.
    var stored: UInt64
    /// Numbers of the site's stream that are neither stored nor accounted for.
    var missing: UInt64
    /// Messages stored twice.
    var duplicates: UInt64
    /// Messages that came to the cloud again and were refused.
    var duplicatesRefused: UInt64
    /// Messages that the bridge gave up by policy, with a reason.
    var dropped: UInt64
    /// Device messages that were sent but never acknowledged.
    var unacknowledged: UInt64
    /// Seconds without a link.
    var outageSeconds: Double
    /// Messages that waited on the site's disk when the link came back.
    var backlog: UInt64
    /// Seconds from the link's return to an empty backlog.
    var drainSeconds: Double

    /// Nothing missing, nothing twice, and everything bridged is in the database.
    var holds: Bool {
        missing == 0 && duplicates == 0 && unacknowledged == 0 && published > 0 && decided > 0
            && stored + dropped == bridged
    }

    var json: String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys]
        guard let data = try? encoder.encode(self) else { return "{}" }
        return String(decoding: data, as: UTF8.self)
    }

    var text: String {
        """
        The proof
          published    \(Self.column(published))  by devices, over TLS, each acknowledged once it was on disk
          decided      \(Self.column(decided))  by handlers on the site, each exactly once
          bridged      \(Self.column(bridged))  messages numbered for the cloud
          stored       \(Self.column(stored))  rows in the cloud's database
          missing      \(Self.column(missing))
          duplicates   \(Self.column(duplicates))  (\(duplicatesRefused) came again and were refused)
        The link was down for \(Self.seconds(outageSeconds)); \(backlog) messages waited on the site's disk and were in \
        the cloud \(Self.seconds(drainSeconds)) after it came back.
        """
    }

    private static func column(_ number: UInt64) -> String {
        let text = String(number)
        return String(repeating: " ", count: max(0, 8 - text.count)) + text
    }

    private static func seconds(_ value: Double) -> String { "\((value * 10).rounded() / 10) s" }
}
