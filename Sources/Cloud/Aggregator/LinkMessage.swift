public import MosquittoClient

/// A message as the link to the broker hands it over, before anything about it is believed.
public struct LinkMessage: Sendable, Hashable {
    /// The whole topic.
    public var topic: String
    /// The payload, taken out of the envelope if there was one.
    public var payload: [UInt8]
    /// The stamp; nil if there is none or it makes no sense.
    public var stamp: BridgeStamp?

    /// Makes a message.
    public init(topic: String, payload: [UInt8], stamp: BridgeStamp?) {
        self.topic = topic
        self.payload = payload
        self.stamp = stamp
    }
}

/// Why a message was not even looked up in its site's stream.
public enum Rejection: String, Sendable, Hashable, CaseIterable {
    /// Its topic is not `up/{shard}/{site}/…`.
    case topic
    /// It has no readable stamp.
    case unstamped
    /// Topic and stamp name different sites.
    case wrongSite = "wrong_site"
    /// Topic, class or payload exceed a limit.
    case oversize
}

extension LinkMessage {
    /// The longest relative topic that is stored.
    static let topicBytesMax = 1_024
    /// The longest class name that is stored.
    static let classBytesMax = 64
    /// The largest payload that is stored.
    static let payloadBytesMax = 4_194_304

    /// The longest reason of a gap record; a longer or odd one is stored as `other`.
    static let reasonBytesMax = 32

    /// The message for the site's stream, or why it belongs to none.
    func ingestMessage(milliseconds: Int64) -> Result<IngestMessage, RejectionError> {
        guard let parts = UpstreamTopic(topic) else { return .failure(RejectionError(.topic)) }
        guard let stamp else { return .failure(RejectionError(.unstamped)) }
        guard stamp.site == parts.site else { return .failure(RejectionError(.wrongSite)) }
        guard parts.relative.utf8.count <= Self.topicBytesMax, payload.count <= Self.payloadBytesMax,
            stamp.className.utf8.count <= Self.classBytesMax
        else { return .failure(RejectionError(.oversize)) }
        let isGapRecord = parts.relative == UpstreamTopic.gapRecords && stamp.className == BridgeStamp.gapClass
        return .success(
            IngestMessage(
                site: stamp.site,
                epoch: stamp.epoch,
                sequence: stamp.sequence,
                topic: String(parts.relative),
                messageClass: stamp.className,
                payload: payload,
                eventMilliseconds: stamp.receivedMilliseconds,
                receivedMilliseconds: milliseconds,
                // A gap record that cannot be read is stored as a message: what it meant stays open and visible.
                drop: isGapRecord ? BridgeGap(decoding: payload).flatMap(PolicyDrop.init) : nil
            )
        )
    }
}

extension PolicyDrop {
    /// What a gap record says; nil if it says nothing.
    init?(_ gap: BridgeGap) {
        let isWord = gap.reason.utf8.count <= LinkMessage.reasonBytesMax && UpstreamTopic.isSite(gap.reason)
        let reason = isWord ? gap.reason : "other"
        if gap.from >= 1, gap.from <= gap.to {
            self.init(range: gap.from...gap.to, reason: reason)
        } else if gap.from == 0, gap.to == 0, gap.count >= 1, gap.count <= SiteCursor.jumpMax {
            self.init(range: nil, unnumbered: gap.count, reason: reason)
        } else {
            return nil
        }
    }
}

/// A rejection as an error.
struct RejectionError: Error {
    /// Why.
    let reason: Rejection

    init(_ reason: Rejection) { self.reason = reason }
}
