/// What happened in a world, or in many, in numbers.
struct Counts: Sendable {
    /// Messages that clients and handlers published.
    var published = 0
    /// Of these, acknowledged with QoS 1 or 2.
    var acknowledged = 0
    /// Messages that clients' applications were given.
    var delivered = 0
    /// Of these, wills.
    var wills = 0
    /// Processes killed.
    var kills = 0
    /// Power cuts, between two calls of the disk or in the middle of one.
    var powerCuts = 0
    /// Processes stopped in good order.
    var stops = 0
    /// Connections broken.
    var cuts = 0
    /// Connections that went dead without a word.
    var halfOpen = 0
    /// Connections held back for a while.
    var stalls = 0
    /// Times that nobody could connect for a while.
    var partitions = 0
    /// Steps of the wall clock.
    var wallJumps = 0
    /// Changes of the rules.
    var ruleChanges = 0
    /// Calls of the disk that failed.
    var diskFailures = 0
    /// Times that the disk was full.
    var fullDisks = 0
    /// Checkpoints written.
    var checkpoints = 0
    /// What handlers decided.
    var decisions = 0
    /// Events of the world.
    var events = 0
    /// Simulated milliseconds.
    var milliseconds = 0

    /// By name, in a fixed order.
    var named: [(name: String, count: Int)] {
        [
            ("published", published), ("acknowledged", acknowledged), ("delivered", delivered), ("wills", wills),
            ("kills", kills), ("power_cuts", powerCuts), ("stops", stops), ("cuts", cuts), ("half_open", halfOpen),
            ("stalls", stalls), ("partitions", partitions), ("wall_jumps", wallJumps), ("rule_changes", ruleChanges),
            ("disk_failures", diskFailures), ("full_disks", fullDisks), ("checkpoints", checkpoints),
            ("decisions", decisions), ("events", events), ("milliseconds", milliseconds),
        ]
    }

    static func += (left: inout Counts, right: Counts) {
        left.published += right.published
        left.acknowledged += right.acknowledged
        left.delivered += right.delivered
        left.wills += right.wills
        left.kills += right.kills
        left.powerCuts += right.powerCuts
        left.stops += right.stops
        left.cuts += right.cuts
        left.halfOpen += right.halfOpen
        left.stalls += right.stalls
        left.partitions += right.partitions
        left.wallJumps += right.wallJumps
        left.ruleChanges += right.ruleChanges
        left.diskFailures += right.diskFailures
        left.fullDisks += right.fullDisks
        left.checkpoints += right.checkpoints
        left.decisions += right.decisions
        left.events += right.events
        left.milliseconds += right.milliseconds
    }
}
