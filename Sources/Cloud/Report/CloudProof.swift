/// Whether everything some sites have bridged is stored, exactly once. Counted in the message table itself, not taken
/// from the cursors it is to check.
public struct CloudProof: Sendable, Hashable, Encodable {
    /// Message rows.
    public var stored: UInt64
    /// Numbers that are neither stored nor dropped, those beyond the highest seen included if the caller knows them.
    public var missing: UInt64
    /// Messages dropped by policy, with a reason.
    public var dropped: UInt64
    /// Rows whose (site, epoch, sequence) another row has.
    public var duplicates: UInt64
    /// Messages that came again and were refused.
    public var duplicatesRefused: UInt64
    /// Messages of older epochs refused.
    public var fenced: UInt64

    /// Nothing missing, nothing twice.
    public var holds: Bool { missing == 0 && duplicates == 0 }

    /// Counts.
    ///
    /// - Parameters:
    ///   - source: the store, or a second opening of its file.
    ///   - expected: the sites, and the highest number each has given in its current epoch; nil if that is not known.
    public init(from source: any ReportSource, expected: [String: UInt64?]) throws(StoreError) {
        stored = 0
        missing = 0
        dropped = 0
        duplicates = 0
        duplicatesRefused = 0
        fenced = 0
        let cursors = try source.allCursors()
        for (site, last) in expected {
            let count = try source.countRows(site: site)
            stored &+= count.rows
            duplicates &+= count.rows - min(count.rows, count.distinct)
            let own = cursors.filter { $0.site == site }
            var accounted: UInt64 = 0
            for cursor in own {
                missing &+= cursor.missing.memberCount
                dropped &+= cursor.dropped &+ cursor.unnumbered
                duplicatesRefused &+= cursor.duplicates
                fenced &+= cursor.fenced
                accounted &+= cursor.highest &- cursor.missing.memberCount &- cursor.dropped
            }
            // Rows that the cursors claim and the table lacks are missing too.
            missing &+= accounted - min(accounted, count.rows)
            let highest = own.max { $0.epoch < $1.epoch }?.highest ?? 0
            if let last, last > highest { missing &+= last - highest }
        }
    }
}
