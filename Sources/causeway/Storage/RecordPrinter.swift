import Audit
import Bridge
import Broker
import Foundation
import Journal
import MQTT
import NIOCore

/// Prints records for `causeway journal show`.
struct RecordPrinter {
    /// A line of `--format json`.
    fileprivate struct Line: Encodable {
        var sequence: UInt64
        var kind: String
        var fields: [String: String] = [:]
        var topic: String?
        var qos: UInt8?
        var retain: Bool?
        var publisher: String?
        var received: String?
        /// The payload, if it is text.
        var payload: String?
        /// The payload in base 64, if it is not.
        var payloadBase64: String?
    }

    private let part: DataFolder.Part
    private let filter: TopicFilter?
    private let format: JournalCommand.Format

    init(_ part: DataFolder.Part, filter: TopicFilter?, format: JournalCommand.Format) {
        self.part = part
        self.filter = filter
        self.format = format
    }

    func print(_ range: ClosedRange<UInt64>, _ keys: KeyRing?) throws {
        let found = try JournalInspection(directory: part.directory, keys: keys)
        guard found.isReadable else {
            throw StartFailure("\(part.directory) is encrypted: give --config or --keyfile")
        }
        var failure: (any Error)?
        try found.read(from: range.lowerBound) { sequence, payload in
            guard sequence <= range.upperBound else { return false }
            do {
                for line in try lines(sequence, payload) { try write(line) }
                return true
            } catch {
                failure = error
                return false
            }
        }
        if let failure { throw failure }
    }

    private func lines(_ sequence: UInt64, _ payload: UnsafeRawBufferPointer) throws -> [Line] {
        guard part.kind == .main else { return outboxLine(sequence, payload).map { [$0] } ?? [] }
        var lines: [Line] = []
        try JournalRecord.describe(ByteBuffer(bytes: payload), sequence: sequence) { entry in
            if let line = line(sequence, entry) { lines.append(line) }
        }
        return lines
    }

    private func line(_ sequence: UInt64, _ entry: DescribedEntry) -> Line? {
        var line = Line(sequence: sequence, kind: entry.kind)
        for field in entry.fields where !field.value.isEmpty { line.fields[field.name] = field.value }
        guard let message = entry.message else { return filter == nil ? line : nil }
        if let filter, !filter.matches(message.topic) { return nil }
        line.topic = message.topic.string
        line.qos = message.qos.rawValue
        line.retain = message.retain
        line.publisher = message.publisher
        line.received = SizeText.moment(message.receivedMilliseconds)
        line.setPayload(Array(message.payload.readableBytesView))
        return line
    }

    private func outboxLine(_ sequence: UInt64, _ payload: UnsafeRawBufferPointer) -> Line? {
        guard let record = DescribedOutboxRecord(decoding: payload) else {
            return Line(sequence: sequence, kind: "unreadable")
        }
        if let filter {
            guard filter.matches(TopicName(uncheckedBytes: ByteBuffer(string: record.topic))) else { return nil }
        }
        var line = Line(sequence: sequence, kind: record.isGap ? "gap" : "message")
        line.fields = ["class": record.trafficClass, "source": "\(record.source.record).\(record.source.index)"]
        line.topic = record.topic
        line.received = SizeText.moment(record.receivedMilliseconds)
        line.setPayload(record.payload)
        return line
    }

    private func write(_ line: Line) throws {
        if format == .json { return try JournalCommand.print(json: line) }
        var words = ["\(line.sequence)", line.kind]
        if let received = line.received { words.append(received) }
        if let topic = line.topic { words.append(AuditText.quoted(topic)) }
        if let qos = line.qos { words.append("qos=\(qos)") }
        if line.retain == true { words.append("retain") }
        if let publisher = line.publisher { words.append("from=\(AuditText.quoted(publisher))") }
        words += line.fields.sorted { $0.key < $1.key }.map { "\($0.key)=\(AuditText.shown($0.value))" }
        if let payload = line.payload { words.append(AuditText.quoted(payload)) }
        if let payload = line.payloadBase64 { words.append("base64:\(payload)") }
        Output.line(words.joined(separator: " "))
    }
}

extension RecordPrinter.Line {
    fileprivate mutating func setPayload(_ bytes: [UInt8]) {
        if let text = String(validating: bytes, as: UTF8.self) {
            payload = text
        } else {
            payloadBase64 = Data(bytes).base64EncodedString()
        }
    }
}
