internal import Broker
internal import MQTT
internal import MosquittoClient
internal import NIOCore

/// Takes messages out of the main journal, decides what leaves and in which form, and appends it to the outbox. What is
/// dropped by policy becomes a gap record, so that the other side knows.
///
/// Confined to the bridge's thread.
struct Lane {
    /// Bytes of the main journal looked at in one turn, so that acknowledgements are not kept waiting.
    static let turnBytesMax = 256 * 1024

    /// Why messages did not leave.
    private(set) var dropped: [String: UInt64] = [:]
    /// Messages that no route matched.
    private(set) var unmatched: UInt64 = 0
    private let settings: BridgeSettings
    private let table: RouteTable
    private let source: any BridgeSource
    /// Drops that are not in the outbox yet, by reason.
    private var unreported: [String: UInt64] = [:]

    init(settings: BridgeSettings, table: RouteTable, source: any BridgeSource) {
        self.settings = settings
        self.table = table
        self.source = source
    }

    /// Looks at what is new. Returns true if there may be more.
    mutating func pull(into outbox: Outbox, wallMilliseconds: Int64) throws(BridgeError) -> Bool {
        guard outbox.hasRoom else { return false }
        let place = outbox.source
        let start = place.index == .max ? place.record + 1 : max(1, place.record)
        guard source.committedRecord >= start else { return false }
        if place.record > 0, source.firstRecord > start {
            // Retired before we came to it: nobody told the main journal that we need it.
            count("source_retired", source.firstRecord - start)
        }
        var records: [OutboxRecord] = []
        var position = place
        let (next, lost) = try source.read(from: start, bytesMax: Self.turnBytesMax) { record, messages in
            for message in messages where message.reference > position {
                take(message, into: &records, isFull: outbox.isFull, wallMilliseconds: wallMilliseconds)
                position = message.reference
            }
            // Behind everything in this record, also where it held no message.
            position = max(position, MessageReference(record: record, index: .max))
            return true
        }
        if lost > 0 {
            count("source_damaged", lost)
            position = max(position, MessageReference(record: next - 1, index: .max))
        }
        let isFull = outbox.isFull
        if !unreported.isEmpty, !isFull {
            for (reason, number) in unreported.sorted(by: { $0.key < $1.key }) where settings.isStamped {
                records.append(gap(reason, number, position, wallMilliseconds))
            }
            unreported = [:]
        }
        if let last = records.indices.last { records[last].source = max(records[last].source, position) }
        outbox.append(records)
        outbox.source = max(outbox.source, position)
        return position.record < source.committedRecord
    }

    private mutating func take(
        _ message: JournaledMessage,
        into records: inout [OutboxRecord],
        isFull: Bool,
        wallMilliseconds: Int64
    ) {
        // What came down this bridge does not go up again.
        if message.origin == .bridge, message.publisher == settings.name { return }
        guard let routed = table.route(message) else {
            unmatched += 1
            return
        }
        guard let topic = routed.topic else { return count("topic", 1) }
        let route = table.routes[routed.route]
        if isFull, settings.overflow == .dropNewest || route.rule.qos == 0 { return count("queue_full", 1) }
        var payload = Array(message.payload.readableBytesView)
        if let redactor = route.redactor {
            // Never unredacted: what cannot be redacted stays here.
            guard let redacted = try? redactor.redact(payload) else { return count("redaction", 1) }
            payload = redacted
        }
        var record = OutboxRecord(
            source: message.reference,
            trafficClass: route.rule.trafficClass,
            retain: route.rule.retain,
            topic: topic,
            payload: payload,
            receivedMilliseconds: message.receivedMilliseconds,
            queuedMilliseconds: wallMilliseconds
        )
        for property in message.properties.values {
            switch property {
            // A content type is free text of the publisher's: not with payloads that had to be redacted.
            case .contentType(let type) where route.redactor == nil: record.contentType = type
            case .messageExpiryInterval(let seconds): record.expirySeconds = seconds
            case .userProperty(let name, let value) where route.rule.keepsUserProperties:
                record.userProperties.append(MosquittoUserProperty(name, value))
            default: break
            }
        }
        records.append(record)
    }

    private mutating func count(_ reason: String, _ number: UInt64) {
        dropped[reason, default: 0] += number
        unreported[reason, default: 0] += number
    }

    private func gap(_ reason: String, _ count: UInt64, _ source: MessageReference, _ now: Int64) -> OutboxRecord {
        OutboxRecord(
            kind: .gap,
            source: source,
            topic: table.gapTopic,
            payload: BridgeGap(from: 0, to: 0, count: count, reason: reason).encode(),
            receivedMilliseconds: now,
            queuedMilliseconds: now
        )
    }
}
