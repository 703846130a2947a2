/// A way to another broker: an entry of `bridges:`.
public struct BridgeConfiguration: Sendable, Hashable {
    /// The protocol spoken to the other broker.
    public enum WireProtocol: String, Sendable, Hashable, CaseIterable {
        /// MQTT 5.0: site, epoch and sequence travel as user properties.
        case mqttv5
        /// MQTT 3.1.1: they travel in an envelope around the payload.
        case mqttv311
    }

    /// What cuts the outbox.
    public enum Confirmation: String, Sendable, Hashable, CaseIterable {
        /// The aggregator's commit watermark. The default.
        case commit
        /// The other broker's PUBACK, for consumers other than our aggregator.
        case puback
    }

    /// What happens when the outbox is full.
    public enum Overflow: String, Sendable, Hashable, CaseIterable {
        /// The oldest records go, counted and reported to the aggregator. The default.
        case dropOldest = "drop_oldest"
        /// New records are not taken, counted and reported.
        case dropNewest = "drop_newest"
    }

    /// How long to wait before the next attempt to connect: a random time that grows from `base` to `cap`.
    public struct Restart: Sendable, Hashable {
        /// `base`: Default 1 s.
        public var base = Duration.seconds(1)
        /// `cap`: Default 60 s.
        public var cap = Duration.seconds(60)

        /// The defaults.
        public init() {}
    }

    /// `name`: unique; the outbox's folder is called so.
    public var name: String
    /// `address`: `mqtts://host:port`. `mqtt://` is refused beyond loopback unless `insecure: true`.
    public var address: BrokerAddress
    /// `site`: the name the other side knows this site by. Default: the file's `site`.
    public var site: String
    /// `protocol`: Default `mqttv5`.
    public var wireProtocol: WireProtocol
    /// `tls`: nil for `mqtt://`; for `mqtts://` without `tls:` the system's authorities are trusted.
    public var tls: ClientTLS?
    /// `username`.
    public var username: String?
    /// `password_file`: a file that holds the password and nothing else.
    public var passwordFile: String?
    /// `prefix`: what stands before every route's topic. Default `up/{shard}/{site}/`.
    public var prefix: String
    /// `shards`: how many shards the sites are spread over; `{shard}` is a hash of the site below it. The same number
    /// everywhere. Default 64.
    public var shards: Int
    /// `confirm`: Default `commit`.
    public var confirm: Confirmation
    /// `keepalive_interval`: Default 60 s.
    public var keepAlive: Duration
    /// `restart`.
    public var restart: Restart
    /// `window`: how many records may await their PUBACK. Default 256.
    public var window: Int
    /// `resend_after`: with `confirm: commit`, how long after its PUBACK a record that the watermark has not reached is
    /// sent again. Default 10 s.
    public var resendAfter: Duration
    /// `max_outbox_bytes`: what may wait on disk for the other side. Default 4 GiB.
    public var maxOutboxBytes: Int
    /// `overflow`: Default `drop_oldest`.
    public var overflow: Overflow
    /// `drain_rate`: how many records a second are sent while catching up. Nil: as many as the window lets through.
    public var drainRate: Int?
    /// `routes`: what leaves. The first that matches a message decides.
    public var routes: [RouteConfiguration]
    /// Where it stands in the file.
    public var position: SourcePosition
}

/// What leaves the site, under which name, without which fields: an entry of `routes:`.
public struct RouteConfiguration: Sendable, Hashable {
    /// What happens to a field before the outbox.
    public enum Redaction: Sendable, Hashable {
        /// `drop`: the field is left out.
        case drop
        /// `hmac`: replaced by a keyed pseudonym, equal for equal values, by the file's `site_key`.
        case hmac
        /// `round:N` or `{ round: N }`: a number with N decimals, 0 to 9.
        case round(decimals: Int)
    }

    /// What a message is worth.
    public enum TrafficClass: String, Sendable, Hashable, CaseIterable {
        /// Somebody must know.
        case alarm
        /// Money or stock moved.
        case transaction
        /// A reading among many. The default.
        case telemetry
    }

    /// How a stream of readings is thinned.
    public struct Sampling: Sendable, Hashable {
        /// What is kept of a window.
        public enum Aggregate: String, Sendable, Hashable, CaseIterable {
            /// The mean.
            case avg
            /// The smallest.
            case min
            /// The largest.
            case max
            /// How many.
            case count
            /// The sum.
            case sum
            /// The first.
            case first
            /// The last.
            case last
        }

        /// `every`: the length of a window.
        public var every: Duration
        /// `keep`: what is kept of it.
        public var keep: [Aggregate]
    }

    /// `topic`: a topic filter whose wildcards may be named.
    public var topic: String
    /// `to`: the topic on the other side, below the bridge's prefix. `{1}`, `{2}` and names stand for what the
    /// wildcards of one level stood for, `{rest}` for what `#` did, `{site}` for the site. Nil: the topic as it is.
    public var to: String?
    /// `class`: what a message is worth. Default `telemetry`.
    public var trafficClass: TrafficClass
    /// `redact`: what happens to which fields of a JSON payload. `a.b` names a field within a field.
    public var redact: [String: Redaction]
    /// `qos`: 0 or 1. Default 1.
    public var qos: Int
    /// `retain`: whether the other side is asked to keep the last message. Default false; never for commands.
    public var retain: Bool
    /// `sample`: nil: every message leaves. Not acted upon yet, which a warning says.
    public var sample: Sampling?
    /// Where it stands in the file.
    public var position: SourcePosition
}

/// An existing broker the site attaches to instead of running its own: `site_broker:`.
public struct AttachedBrokerConfiguration: Sendable, Hashable {
    /// `address`.
    public var address: BrokerAddress
    /// `tls`: nil for `mqtt://`.
    public var tls: ClientTLS?
    /// `username`.
    public var username: String?
    /// `password_file`.
    public var passwordFile: String?
    /// `topics`: what is subscribed to there. Default: what handlers and routes ask for.
    public var topics: [String]?
    /// Where it stands in the file.
    public var position: SourcePosition
}
