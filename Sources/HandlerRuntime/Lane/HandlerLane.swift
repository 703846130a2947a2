import Broker
import HandlerKit

/// One handler at work: its patterns, its states, where it stands. Confined to the runtime's thread.
final class HandlerLane {
    let name: String
    let plugin: PluginDescription
    let patterns: [TopicPattern]
    let keyTemplate: TopicTemplate
    let configuration: String
    let start: HandlerRegistration.Start
    let resetsUnreadableState: Bool
    let table: any StateTable
    var breaker: CircuitBreaker
    var timers = TimerQueue()
    /// Keys whose state in the journal cannot be read.
    var unreadableKeys: Set<String> = []
    var metrics: HandlerMetrics

    /// Everything up to here has been decided about.
    var position = MessageReference.zero
    /// The last position that was submitted.
    var submittedPosition = MessageReference.zero
    /// The last position that is on disk.
    var committedPosition = MessageReference.zero
    /// Records with messages that were passed since the last submitted position, and since when.
    var passedRecords: UInt64 = 0
    var passedSinceMilliseconds: Int64 = 0

    private init(
        _ registration: HandlerRegistration,
        patterns: [TopicPattern],
        keyTemplate: TopicTemplate,
        table: any StateTable,
        limits: HandlerLimits
    ) {
        let plugin = registration.plugin.plugin
        self.name = registration.name
        self.plugin = plugin
        self.patterns = patterns
        self.keyTemplate = keyTemplate
        self.configuration = registration.parameters.fingerprint(of: plugin)
        self.start = registration.start
        self.resetsUnreadableState = registration.resetsUnreadableState
        self.table = table
        self.breaker = CircuitBreaker(
            failuresMax: limits.breakerFailuresMax,
            openSeconds: limits.breakerOpenSeconds
        )
        self.metrics = HandlerMetrics(handler: registration.name, plugin: plugin.name)
    }

    static func make(
        _ registration: HandlerRegistration,
        site: String,
        limits: HandlerLimits
    ) throws(HandlerConfigurationError) -> HandlerLane {
        try registration.checkName()
        let patterns = try registration.patterns()
        return HandlerLane(
            registration,
            patterns: patterns,
            keyTemplate: try registration.keyTemplate(for: patterns),
            table: try Self.table(registration.plugin, registration.parameters),
            limits: limits
        )
    }

    private static func table<H: Handler>(
        _ type: H.Type,
        _ parameters: HandlerParameters
    ) throws(HandlerConfigurationError) -> any StateTable {
        TypedStateTable(try H(parameters: parameters))
    }

    /// Everything up to the end of a record has been decided about.
    func pass(_ record: UInt64, isEmpty: Bool, now: Int64) {
        position = MessageReference(record: record, index: .max)
        guard !isEmpty else { return }
        if passedRecords == 0 { passedSinceMilliseconds = now }
        passedRecords += 1
    }

    /// The first pattern that matches a topic.
    func pattern(for topic: UnsafeRawBufferPointer) -> TopicPattern? {
        patterns.first { $0.matches(topic) }
    }

    /// Puts a key's timers into the queue. Those that are there already are put in again; the queue allows for it.
    func schedule(_ key: String, _ instants: [String: Int64], except known: [String: Int64]) {
        for (name, due) in instants where known[name] != due {
            timers.insert(TimerQueue.Entry(due: due, key: key, name: name))
        }
    }

    /// The earliest timer that still holds.
    func nextTimer() -> TimerQueue.Entry? {
        while let entry = timers.first {
            if table.timers(of: entry.key)[entry.name] == entry.due { return entry }
            _ = timers.removeFirst()
        }
        return nil
    }
}
