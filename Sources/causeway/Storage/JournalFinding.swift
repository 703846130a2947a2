import Journal

/// Something that is not as it was written, in words.
struct JournalFinding: Encodable, Equatable, CustomStringConvertible {
    /// A stable name, such as `lost_records`.
    var kind: String
    /// The file in the journal's directory, where one is known.
    var file: String?
    /// The first damaged byte.
    var offset: Int?
    /// The first byte behind the damage.
    var end: Int?
    /// The first record concerned.
    var first: UInt64?
    /// The last record concerned.
    var last: UInt64?
    /// What it is and what it means.
    var message: String

    var description: String {
        var place = file ?? "journal"
        if let offset { place += ":\(offset)" }
        return "\(place): \(message)"
    }

    /// What an inspection found, in the order of the files. A torn tail is none: nobody was told of what it held.
    static func all(_ found: JournalInspection) -> [JournalFinding] {
        let recovery = found.recovery
        let damage = recovery.damage.map { damage in
            JournalFinding(
                kind: damage.kind.rawValue,
                file: damage.file,
                offset: damage.bytes?.lowerBound,
                end: damage.bytes?.upperBound,
                message: text(damage)
            )
        }
        let lost = recovery.lost.map { range in
            JournalFinding(
                kind: "lost_records",
                file: found.segments.last { $0.first <= range.lowerBound }?.file,
                first: range.lowerBound,
                last: range.upperBound,
                message: "records \(range.lowerBound) to \(range.upperBound) were stored and cannot be read any more"
            )
        }
        return damage + lost
    }

    private static func text(_ damage: Damage) -> String {
        switch damage.kind {
        case .damagedRange:
            let range = damage.bytes.map { "bytes \($0.lowerBound) to \($0.upperBound - 1)" } ?? "some bytes"
            return "\(range) do not pass their checksums"
        case .damagedHeader: return "both copies of the header are unreadable; its name and its records serve instead"
        case .truncatedFile:
            return "the file is shorter than it was made, from byte \(damage.bytes?.lowerBound ?? 0) on"
        case .duplicateSegment: return "another file is the same segment, and the better one"
        case .misnamedSegment: return "the file has another segment's name"
        case .unreadableFile: return "the file is of another journal, or nothing in it can be read"
        case .damagedCheckpoint: return "the checkpoint does not pass its checksum; an older one or all records serve"
        case .damagedIdentity: return "the journal's identity is missing or damaged; that of the other files serves"
        }
    }
}
