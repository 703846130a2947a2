import ArgumentParser
import Foundation
import MQTT
import MosquittoClient

/// `causeway sub`: mosquitto_sub's flags and exit codes.
struct SubCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sub",
        abstract: "Subscribe and print what comes, with mosquitto_sub's flags.",
        discussion: """
            -F prints each message by a format: %t topic, %p payload, %x and %X payload in hexadecimal, %l its length, \
            %q QoS, %r retained, %I and %U the time, %j and %J JSON, %C content type, %D correlation data, %E expiry, \
            %P user properties, %R response topic, @X strftime's %X, @N nanoseconds, \\n and the like. A width may \
            stand after %, as in %-20t.
            """,
        helpNames: [.customLong("help")]
    )

    @OptionGroup var broker: BrokerOptions

    @Option(name: [.customShort("t"), .customLong("topic")], help: "A topic filter; may be repeated.")
    var topics: [String] = []

    @Option(
        name: [.customShort("T"), .customLong("filter-out")],
        help: "A topic filter whose messages are not printed; may be repeated."
    )
    var hidden: [String] = []

    @Option(
        name: [.customShort("U"), .customLong("unsubscribe")],
        help: "A topic filter to unsubscribe from; may be repeated."
    )
    var unsubscribe: [String] = []

    @Option(name: [.customShort("q"), .customLong("qos")], help: "The quality of service: 0, 1 or 2.")
    var qos: UInt8 = 0

    @Option(name: [.customShort("C"), .customLong("count")], help: "End after so many messages.")
    var count: Int?

    @Option(
        name: [.customShort("W"), .customLong("timeout")],
        help: "End so many seconds after connecting, with 27."
    )
    var timeout: Int?

    @Flag(
        name: [.customShort("E"), .customLong("exit-after-subscribe")],
        help: "End when the subscriptions are acknowledged."
    )
    var endsAfterSubscribing = false

    @Flag(name: [.customShort("v"), .customLong("verbose")], help: "Print the topic before each message.")
    var verbose = false

    @Flag(name: [.customShort("N"), .customLong("no-newline")], help: "Print no line's end after a message.")
    var noNewline = false

    @Flag(name: [.customShort("R"), .customLong("no-retained")], help: "Do not print retained messages.")
    var noRetained = false

    @Flag(name: .customLong("retained-only"), help: "Print retained messages only, and end at the first other one.")
    var retainedOnly = false

    @Flag(name: .customLong("remove-retained"), help: "Clear each retained message that comes.")
    var removesRetained = false

    @Option(name: [.customShort("F"), .customLong("format")], help: "How a message is printed; see above.")
    var format: String?

    func validate() throws {
        guard !topics.isEmpty || broker.urlTopic != nil || !unsubscribe.isEmpty else {
            throw ValidationError("give a topic filter with -t")
        }
        guard qos <= 2 else { throw ValidationError("-q is 0, 1 or 2") }
        guard count.map({ $0 >= 1 }) ?? true else { throw ValidationError("-C is 1 or more") }
        guard timeout.map({ (1...31_536_000).contains($0) }) ?? true else {
            throw ValidationError("-W is 1 to 31536000 seconds")
        }
        if noRetained, retainedOnly { throw ValidationError("-R and --retained-only exclude each other") }
        for text in topics + unsubscribe + hidden { _ = try Self.filter(text) }
        if let format { _ = try MessageFormat(format) }
    }

    private static func filter(_ text: String) throws -> TopicFilter {
        do {
            return try TopicFilter(text, maxLevels: TopicLimits.levelsMax)
        } catch {
            throw ValidationError("'\(text)' is not a topic filter")
        }
    }

    func run() async throws {
        let log = ClientLog(broker)
        do {
            let code = try await subscribeAndPrint(log)
            guard code == 0 else { throw ExitCode(code) }
        } catch let error as MosquittoError {
            log.error(error.description)
            throw ExitCode(ClientExitCode.of(error))
        }
    }

    private func subscribeAndPrint(_ log: ClientLog) async throws -> Int32 {
        let pattern = format ?? (verbose ? "%t %p" : "%p")
        let subscriber = Subscriber(
            settings: Subscriber.Settings(
                topics: topics + (broker.urlTopic.map { [$0] } ?? []),
                unsubscribe: unsubscribe,
                hidden: try hidden.map { try Self.filter($0) },
                qos: qos,
                count: count,
                timeoutSeconds: timeout,
                endsAfterSubscribing: endsAfterSubscribing,
                noRetained: noRetained,
                retainedOnly: retainedOnly,
                removesRetained: removesRetained,
                format: try MessageFormat(pattern),
                ending: noNewline ? [] : [UInt8(ascii: "\n")]
            ),
            log: log
        )
        let connection = try MosquittoConnection(configuration: try broker.makeConfiguration()) {
            subscriber.handle($0)
        }
        subscriber.connect(connection)
        try connection.start()
        let signals = Task {
            await TerminationSignals.wait()
            subscriber.finish(0)
        }
        let code = await subscriber.outcome.wait()
        signals.cancel()
        connection.stop(timeoutSeconds: 2)
        return code
    }
}
