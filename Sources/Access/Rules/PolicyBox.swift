public import Broker
public import MQTT
internal import NIOCore
internal import Synchronization

/// The policies of all listeners.
public struct PolicySet: Sendable {
    /// For listeners without their own.
    public var common: AccessPolicy
    /// By the name of the listener (`per_listener_settings`).
    public var listeners: [String: AccessPolicy]

    /// Makes a set.
    public init(_ common: AccessPolicy, listeners: [String: AccessPolicy] = [:]) {
        self.common = common
        self.listeners = listeners
    }
}

/// The authorizer whose policy can be replaced while the broker runs.
///
/// A client's rights are resolved when it connects and once more after a change; per message there is no lock. After
/// ``replace(_:)`` call ``BrokerCore/accessChanged(_:now:effects:)`` on the core's loop: from then on the new policy
/// counts for every session. Usable from any thread.
public final class PolicyBox: Authorizer {
    /// Answers remembered for all clients together.
    static let decisionsMax = 1 << 20
    /// Identities remembered for those who ask by identity, message by message. Beyond, all are forgotten and come
    /// again.
    static let rememberedMax = 16_384

    private struct State {
        var policies: PolicySet
        var remembered: [Identity: ResolvedAccess] = [:]
    }

    private let state: Mutex<State>
    private let budget = DecisionBudget(max: decisionsMax)

    /// Makes it with one policy for all listeners.
    public convenience init(_ policy: AccessPolicy) { self.init(PolicySet(policy)) }

    /// Makes it.
    public init(_ policies: PolicySet) { state = Mutex(State(policies: policies)) }

    /// Puts other policies in place, all at once.
    public func replace(_ policies: PolicySet) {
        state.withLock { $0 = State(policies: policies) }
    }

    /// Whether the client may publish to the topic, under the policy for all listeners.
    public func mayPublish(_ identity: Identity, topic: TopicName) -> Bool { access(of: identity).mayPublish(topic) }

    /// Whether the client may subscribe to the filter, under the policy for all listeners.
    public func maySubscribe(_ identity: Identity, filter: TopicFilter) -> Bool {
        access(of: identity).maySubscribe(filter)
    }

    /// Whether the client may be given a message of the topic, under the policy for all listeners.
    public func mayReceive(_ identity: Identity, topic: TopicName) -> Bool { access(of: identity).mayReceive(topic) }

    /// Whether there is no rule for the client.
    public func allowsEverything(_ identity: Identity) -> Bool { access(of: identity).allowsEverything }

    /// What the client may do, resolved now.
    public func rights(of identity: Identity, listener: String?) -> any ClientRights {
        let policies = state.withLock { $0.policies }
        if let listener {
            let policy = policies.listeners[listener] ?? policies.common
            return PolicyRights([policy.resolve(identity)], budget: budget)
        }
        // After a restart nobody knows where the client will come in: what any listener allows may be kept for it, and
        // is asked for again when it is there.
        let all = [policies.common] + policies.listeners.values
        return PolicyRights(all.map { $0.resolve(identity) }, budget: budget)
    }

    private func access(of identity: Identity) -> ResolvedAccess {
        let (known, policy) = state.withLock { ($0.remembered[identity], $0.policies.common) }
        if let known { return known }
        let made = policy.resolve(identity)
        state.withLock { state in
            if state.remembered.count >= Self.rememberedMax { state.remembered.removeAll() }
            state.remembered[identity] = made
        }
        return made
    }
}

/// How many answers all clients together may remember.
final class DecisionBudget: Sendable {
    private let count = Atomic<Int>(0)
    private let max: Int

    init(max: Int) { self.max = max }

    /// Takes one, if there is one left.
    func take() -> Bool {
        guard count.load(ordering: .relaxed) < max else { return false }
        count.wrappingAdd(1, ordering: .relaxed)
        return true
    }

    func giveBack(_ number: Int) { count.wrappingSubtract(number, ordering: .relaxed) }
}

/// The rights of one client, with the answers it got lately.
///
/// Confined to the loop of the core.
final class PolicyRights: ClientRights {
    /// Answers remembered for one client. Beyond, they are forgotten and found again.
    static let clientDecisionsMax = 1_024
    /// With fewer rules than this, looking at them is as quick as remembering.
    static let rulesMin = 4

    private let alternatives: [ResolvedAccess]
    private let budget: DecisionBudget
    private let remembersPublish: Bool
    private let remembersReceive: Bool
    private var publish: [TopicName: Bool] = [:]
    private var receive: [TopicName: Bool] = [:]
    let allowsEverything: Bool

    /// - Parameter alternatives: More than one where it is not known which holds; any of them may allow.
    init(_ alternatives: [ResolvedAccess], budget: DecisionBudget) {
        self.alternatives = alternatives
        self.budget = budget
        allowsEverything = alternatives.contains { $0.allowsEverything }
        remembersPublish = alternatives.reduce(0) { $0 + $1.publish.rules.count } >= Self.rulesMin
        remembersReceive = alternatives.reduce(0) { $0 + $1.receive.rules.count } >= Self.rulesMin
    }

    deinit { budget.giveBack(publish.count + receive.count) }

    func mayPublish(_ topic: TopicName) -> Bool {
        guard remembersPublish else { return alternatives.contains { $0.mayPublish(topic) } }
        if let known = publish[topic] { return known }
        let answer = alternatives.contains { $0.mayPublish(topic) }
        remember(answer, topic, in: \.publish)
        return answer
    }

    func maySubscribe(_ filter: TopicFilter) -> Bool { alternatives.contains { $0.maySubscribe(filter) } }

    func mayUnsubscribe(_ filter: TopicFilter) -> Bool { alternatives.contains { $0.mayUnsubscribe(filter) } }

    func mayReceive(_ topic: TopicName) -> Bool {
        guard remembersReceive else { return alternatives.contains { $0.mayReceive(topic) } }
        if let known = receive[topic] { return known }
        let answer = alternatives.contains { $0.mayReceive(topic) }
        remember(answer, topic, in: \.receive)
        return answer
    }

    private func remember(
        _ answer: Bool,
        _ topic: TopicName,
        in answers: ReferenceWritableKeyPath<PolicyRights, [TopicName: Bool]>
    ) {
        if self[keyPath: answers].count >= Self.clientDecisionsMax {
            budget.giveBack(self[keyPath: answers].count)
            self[keyPath: answers].removeAll(keepingCapacity: true)
        }
        guard budget.take() else { return }
        // A copy: a slice would hold the whole read buffer.
        let bytes = ByteBuffer(bytes: topic.bytes.readableBytesView)
        self[keyPath: answers][TopicName(uncheckedBytes: bytes)] = answer
    }
}
