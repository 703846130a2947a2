import Broker
import MQTT
import NIOCore
import Synchronization

/// Who may do what in the world, and since when: what is checked against, and what the broker asks.
///
/// Nobody may publish below `x/`. Visitors may be shut out of single filters, and let in again; each change is a new
/// version.
final class Rules: Authorizer {
    /// The user name of clients that may be shut out.
    static let visitor = "visitor"
    /// The user name of clients that may do everything.
    static let resident = "resident"

    private struct State {
        var version = 0
        /// The versions at which a client was shut out of a topic prefix, or let in again, in turn.
        var changes: [String: [Int]] = [:]
    }

    private let state = Mutex(State())
    /// The planted fault: deliveries pass unasked.
    private let forgetsToAsk: Bool

    init(forgetsToAsk: Bool) { self.forgetsToAsk = forgetsToAsk }

    /// Grows with each change.
    var version: Int { state.withLock { $0.version } }

    /// Shuts a client out of the topics below a prefix, or lets it in again. Returns whether it is let in now.
    func toggle(_ clientID: String, _ prefix: String) -> Bool {
        state.withLock { state in
            state.version += 1
            state.changes[Self.key(clientID, prefix), default: []].append(state.version)
            return state.changes[Self.key(clientID, prefix), default: []].count % 2 == 0
        }
    }

    /// Whether a client might be given messages of a topic prefix at a version.
    func allows(_ clientID: String, _ prefix: String, at version: Int) -> Bool {
        state.withLock { state in
            guard let changes = state.changes[Self.key(clientID, prefix)] else { return true }
            return changes.prefix { $0 <= version }.count % 2 == 0
        }
    }

    /// Whether nothing has changed for a client since a version.
    func isUnchanged(_ clientID: String, since version: Int) -> Bool {
        state.withLock { state in
            state.changes.allSatisfy { key, changes in
                !key.hasPrefix("\(clientID) ") || (changes.last ?? 0) <= version
            }
        }
    }

    /// The first two levels of a topic or filter: what the rules speak of.
    static func prefix(of topic: String) -> String {
        topic.split(separator: "/").prefix(2).joined(separator: "/")
    }

    private static func key(_ clientID: String, _ prefix: String) -> String { "\(clientID) \(prefix)" }

    // MARK: - What the broker asks

    func mayPublish(_ identity: Identity, topic: TopicName) -> Bool {
        !topic.bytes.readableBytesView.starts(with: "x/".utf8)
    }

    func maySubscribe(_ identity: Identity, filter: TopicFilter) -> Bool {
        guard identity.username == Self.visitor else { return true }
        return allows(identity.clientID, Self.prefix(of: filter.string), at: .max)
    }

    func mayReceive(_ identity: Identity, topic: TopicName) -> Bool {
        guard identity.username == Self.visitor, !forgetsToAsk else { return true }
        return allows(identity.clientID, Self.prefix(of: topic.string), at: .max)
    }

    func allowsEverything(_ identity: Identity) -> Bool { identity.username == Self.resident }
}
