internal import Glibc

/// One thing that is wrong with a log.
public struct AuditFinding: Sendable, Hashable, CustomStringConvertible {
    /// The file's name.
    public var file: String
    /// The line, from 1; 0 for the file as a whole.
    public var line: Int
    /// The record's number, where one is known.
    public var number: UInt64?
    /// What is wrong.
    public var message: String

    /// `FILE:LINE: record N: what is wrong`.
    public var description: String {
        "\(file):\(line): " + (number.map { "record \($0): " } ?? "") + message
    }
}

/// Follows the chain from line to line and notes where it breaks. A value: a copy goes on from where it stands.
struct AuditChainRun {
    /// The last record seen.
    private(set) var head: AuditHead?
    private(set) var first: UInt64?
    private(set) var records = 0
    private(set) var findings: [AuditFinding] = []
    /// More findings than this are not listed: the first tells where to look.
    static let findingsMax = 100

    /// Heads that the log must contain.
    private var awaited: [(head: AuditHead, source: String)] = []
    private let plain = AuditHasher(key: nil)
    private let keyed: AuditHasher?
    private var hasher: AuditHasher
    private var hasSeenKeyed = false
    /// What ``AuditKind/retired`` records speak of: the last number that was deleted in order, and its hash.
    private var retired: AuditHead?
    private var firstPrevious = ""

    init(key: [UInt8]?) {
        keyed = key.map { AuditHasher(key: $0) }
        hasher = plain
    }

    /// The log must hold this record.
    mutating func await(_ head: AuditHead, source: String) {
        if head.number > 0 { awaited.append((head, source)) }
    }

    /// Takes the lines of a file.
    mutating func take(_ bytes: UnsafeRawBufferPointer, file: String) {
        var start = 0
        var line = 0
        while start < bytes.count {
            line += 1
            let rest = bytes.count - start
            guard let base = bytes.baseAddress, let found = memchr(base + start, 0x0A, rest) else {
                note(file, line, nil, "half a line: the file was cut, or the process died while it wrote")
                return
            }
            let count = UnsafeRawPointer(found) - (base + start)
            take(line: UnsafeRawBufferPointer(start: base + start, count: count), number: line, file: file)
            start += count + 1
        }
        if line == 0 { note(file, 0, nil, "the file is empty") }
    }

    private mutating func take(line: UnsafeRawBufferPointer, number lineNumber: Int, file: String) {
        records += 1
        if lineNumber == 1 { begin(line, file) }
        guard let place = AuditLine.place(of: line) else {
            note(file, lineNumber, head.map { $0.number + 1 }, "this is no record: it was changed")
            return
        }
        if !place.hash.holds(hasher.hash(place.covered), at: 0) {
            note(file, lineNumber, place.number, "the record was changed: its hash does not fit")
        } else if let head {
            checkOrder(place, after: head, file, lineNumber)
        } else if lineNumber != 1 || place.number != 1 && AuditFiles.first(of: file) != place.number {
            note(file, lineNumber, place.number, "the records before it are missing")
        }
        if first == nil {
            first = place.number
            firstPrevious = String(decoding: place.previous, as: UTF8.self)
        }
        let now = AuditHead(number: place.number, hash: String(decoding: place.hash, as: UTF8.self))
        for expected in awaited where expected.head.number == now.number && expected.head.hash != now.hash {
            note(file, lineNumber, now.number, "\(expected.source) has another hash: the log was written anew")
        }
        awaited.removeAll { $0.head.number == now.number }
        if isRetirement(line) { noteRetired(line) }
        head = now
    }

    private mutating func checkOrder(_ place: AuditLine.Place, after head: AuditHead, _ file: String, _ line: Int) {
        if place.number > head.number &+ 1 {
            let missing =
                head.number + 1 == place.number - 1
                ? "record \(head.number + 1) is" : "records \(head.number + 1) to \(place.number - 1) are"
            note(file, line, place.number, "\(missing) missing before it")
        } else if place.number <= head.number {
            note(file, line, place.number, "it follows record \(head.number): it was repeated or moved")
        } else if !place.previous.holds(Array(head.hash.utf8), at: 0) {
            note(file, line, place.number, "it does not continue record \(head.number): one of them was replaced")
        }
    }

    /// The first line of a file says how its records are hashed.
    private mutating func begin(_ line: UnsafeRawBufferPointer, _ file: String) {
        guard let entry = AuditEntry(line: Array(line)), entry.kind == AuditKind.opened else {
            note(file, 1, nil, "the file does not begin with its head")
            return
        }
        switch (entry["algorithm"], keyed) {
        case ("sha256", _):
            if hasSeenKeyed { note(file, 1, entry.number, "records without the key follow records with it") }
            hasher = plain
        case ("hmac-sha256", let keyed?):
            hasher = keyed
            hasSeenKeyed = true
        case ("hmac-sha256", nil): note(file, 1, entry.number, "its records can only be verified with the key (--key)")
        default: note(file, 1, entry.number, "it names no known hash")
        }
    }

    private static let retiredMark = Array("\"kind\":\"\(AuditKind.retired)\"".utf8)
    /// Between the comma after the number and the kind: the key and the time.
    private static let bytesBeforeKind = 32

    private func isRetirement(_ line: UnsafeRawBufferPointer) -> Bool {
        guard let start = line.baseAddress, let comma = memchr(start, 0x2C, line.count) else { return false }
        return line.holds(Self.retiredMark, at: UnsafeRawPointer(comma) - start + Self.bytesBeforeKind)
    }

    private mutating func noteRetired(_ line: UnsafeRawBufferPointer) {
        guard let entry = AuditEntry(line: Array(line)), entry.kind == AuditKind.retired,
            let text = entry["head"], let head = AuditHead(text)
        else { return }
        retired = head
    }

    /// The whole log has been seen.
    mutating func finish(file: String, isWhole: Bool) {
        for (expected, source) in awaited {
            let end = head?.number ?? 0
            let message =
                expected.number > end
                ? "the end is missing: \(source) has record \(expected.number), the log ends with \(end)"
                : "\(source) has record \(expected.number), which is not there"
            note(file, 0, nil, message)
        }
        if head == nil { note(file, 0, nil, "there is no record") }
        if keyed != nil, head != nil, !hasSeenKeyed { note(file, 0, nil, "no record was made with the key") }
        guard isWhole, let first, first > 1 else { return }
        if retired?.number != first - 1 || retired?.hash != firstPrevious {
            note(file, 0, nil, "the beginning is missing: records before \(first) were not deleted by the log itself")
        }
    }

    mutating func note(_ file: String, _ line: Int, _ number: UInt64?, _ message: String) {
        guard findings.count < Self.findingsMax else { return }
        findings.append(AuditFinding(file: file, line: line, number: number, message: message))
    }
}
