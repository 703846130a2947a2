/// Many worlds, one after the other, and what came of them.
public struct Campaign: Sendable {
    /// What to run.
    public struct Order: Sendable {
        /// The first seed.
        public var first: UInt64 = 1
        /// How many.
        public var seeds: UInt64 = 100
        /// Events of each world before it comes to rest.
        public var steps = Campaign.steps
        /// A fault that is planted.
        public var plant: Plant?
        /// Kinds of faults that are left out.
        public var without: Set<Trouble> = []

        /// The defaults.
        public init() {}
    }

    /// Events of a world before it comes to rest, where nothing else is asked for.
    public static let steps = 4_000
    /// Worlds with violations after which a campaign ends.
    private static let failuresMax = 5

    /// A world that broke an invariant.
    public struct Failure: Sendable {
        /// Its seed.
        public var seed: UInt64
        /// The number of the invariant.
        public var invariant: Int
        /// What was seen.
        public var text: String
        /// When, in simulated milliseconds.
        public var milliseconds: UInt64
    }

    /// Worlds that were run.
    public private(set) var worlds: UInt64 = 0
    /// What happened in all.
    var counts = Counts()
    /// Worlds that broke an invariant, up to a few.
    public private(set) var failures: [Failure] = []
    /// The sums of all worlds in one.
    public private(set) var hash: UInt64 = 0

    /// Runs the worlds; ends early after a few failures, with a planted fault after the first.
    public init(_ order: Order, report: (Failure) -> Void = { _ in }) {
        for seed in order.first..<(order.first + order.seeds) {
            let outcome = Self.world(order, seed: seed)
            worlds += 1
            counts += outcome.counts
            hash = (hash ^ outcome.hash) &* 0x0000_0100_0000_01B3
            guard let first = outcome.violations.first else { continue }
            let failure = Failure(
                seed: seed,
                invariant: first.invariant,
                text: first.text,
                milliseconds: first.time / Time.millisecond
            )
            failures.append(failure)
            report(failure)
            if order.plant != nil || failures.count == Self.failuresMax { return }
        }
    }

    /// What happened in all, by name.
    public var totals: [(name: String, count: Int)] { counts.named }

    /// Runs one world and prints what happens in it.
    public static func trace(_ order: Order, seed: UInt64) -> (hash: UInt64, failures: [String]) {
        let outcome = world(order, seed: seed, printsTrace: true)
        return (outcome.hash, outcome.violations.map { "invariant \($0.invariant): \($0.text)" })
    }

    /// The same violation with as little as possible: fewer kinds of faults, fewer events.
    public static func shrink(_ order: Order, seed: UInt64) -> Order {
        var least = order
        /// What a violation says, but for its numbers.
        func kind(_ candidate: Order) -> String? {
            world(candidate, seed: seed).violations.first.map { "\($0.invariant) \($0.text.filter { !$0.isNumber })" }
        }
        guard let wanted = kind(order) else { return order }
        func fails(_ candidate: Order) -> Bool { kind(candidate) == wanted }
        for trouble in Trouble.allCases where !least.without.contains(trouble) {
            var candidate = least
            candidate.without.insert(trouble)
            if fails(candidate) { least = candidate }
        }
        var low = 0
        while low < least.steps {
            var candidate = least
            candidate.steps = (low + least.steps) / 2
            if fails(candidate) { least = candidate } else { low = candidate.steps + 1 }
        }
        return least
    }

    private static func world(_ order: Order, seed: UInt64, printsTrace: Bool = false) -> Outcome {
        World(
            World.Order(
                seed: seed,
                steps: order.steps,
                plant: order.plant,
                without: order.without,
                printsTrace: printsTrace
            )
        ).run()
    }
}
