import ArgumentParser
import Bench
import MQTT

/// `causeway bench`: what a broker does on this machine. It drives any broker that speaks MQTT.
struct BenchCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench",
        abstract: "Measure a broker: throughput, latency, connections.",
        discussion: """
            One thread publishes, receives, acknowledges and counts. For figures that mean something, give broker and \
            generator a CPU each (taskset), and look at how busy the generator was: near 100 %, it is what was measured. \
            Load your own brokers only.
            """,
        subcommands: [
            Pairs.self, FanIn.self, FanOut.self, Persistent.self, Latency.self, Connections.self,
        ],
        helpNames: [.customLong("help")]
    )
}

extension BenchCommand {
    struct Pairs: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "pairs",
            abstract: "Each publisher has a subscriber of its own; as fast as it goes."
        )
        @OptionGroup var target: BenchTargetOptions
        @OptionGroup var load: BenchLoadOptions
        @OptionGroup var bound: BenchBoundOptions

        func run() async throws {
            try await load.run(.pairs, pace: try bound.pace(load), on: target)
        }
    }

    struct FanIn: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "fan-in",
            abstract: "Many publishers, one subscriber; as fast as it goes."
        )
        @OptionGroup var target: BenchTargetOptions
        @OptionGroup var load: BenchLoadOptions
        @Option(help: "Messages on their way over all publishers.")
        var window = 1_000

        func run() async throws { try await load.run(.fanIn, pace: .window(window), on: target) }
    }

    struct FanOut: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "fan-out",
            abstract: "One publisher, many subscribers; as fast as it goes."
        )
        @OptionGroup var target: BenchTargetOptions
        @OptionGroup var load: BenchLoadOptions
        @Option(help: "Deliveries on their way over all subscribers.")
        var window = 10_000

        func run() async throws { try await load.run(.fanOut, pace: .window(window), on: target) }
    }

    struct Persistent: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "persistent",
            abstract: "Many publishers into the session of a client that is away: what is acknowledged each second.",
            discussion: "At the end the client comes back, and what was acknowledged and not kept is counted as lost."
        )
        @OptionGroup var target: BenchTargetOptions
        @OptionGroup var load: BenchLoadOptions
        @Option(help: "Messages that may wait for their acknowledgement, of each publisher.")
        var inflight = 20

        func run() async throws {
            var load = load
            if load.qos == 0 { load.qos = 1 }
            try await load.run(.persistent, pace: .inflight(inflight), on: target)
        }
    }

    struct Latency: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "latency",
            abstract: "Pairs at a rate: how long messages take from the moment they were due."
        )
        @OptionGroup var target: BenchTargetOptions
        @OptionGroup var load: BenchLoadOptions
        @Option(help: "Messages each second, over all publishers.")
        var rate = 1_000.0
        @Flag(help: "Poll instead of sleeping: exact to a microsecond, and takes a whole CPU.")
        var spin = false

        func run() async throws { try await load.run(.pairs, pace: .rate(rate), spins: spin, on: target) }
    }

    struct Connections: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "connections",
            abstract: "Many idle connections; with --storms all of them go at once and come back at once."
        )
        @OptionGroup var target: BenchTargetOptions
        @Option(help: "How many connections.")
        var clients = 1_000
        @Option(help: "Seconds that they are idle, before each storm and at the end.")
        var idle = 1.0
        @Option(help: "How often all of them reconnect.")
        var storms = 0
        @Option(help: "Seconds after which a client that is not back counts as dropped.")
        var deadline = 60.0
        @Option(help: "Write the figures into this file, - for standard output alone.")
        var json: String?

        func validate() throws {
            guard 0...BenchLimits.idleSecondsMax ~= idle, 0...BenchLimits.stormsMax ~= storms,
                deadline > 0, deadline <= BenchLimits.secondsMax
            else { throw ValidationError("--idle, --storms or --deadline is out of its range") }
        }

        func run() async throws {
            let settings = ConnectSettings(
                clients: clients,
                idleSeconds: idle,
                storms: storms,
                deadlineSeconds: deadline
            )
            let result: ConnectResult
            do {
                result = try await Bench.connect(settings, to: try target.make())
            } catch let error as BenchError {
                Output.problem("Error: \(error)")
                throw ExitCode.failure
            }
            try BenchReport.write(result, to: json) { BenchReport.text(result) }
            guard result.lostWhileIdle == 0, (result.storms + [result.first]).allSatisfy({ $0.dropped == 0 }) else {
                throw ExitCode.failure
            }
        }
    }
}
