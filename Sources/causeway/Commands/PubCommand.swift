import ArgumentParser
import Foundation
import MQTT
import MosquittoClient

/// `causeway pub`: mosquitto_pub's flags and exit codes.
struct PubCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "pub",
        abstract: "Publish messages, with mosquitto_pub's flags.",
        discussion: "Ends with 0 when everything was written (QoS 0) or acknowledged (QoS 1 and 2).",
        helpNames: [.customLong("help")]
    )

    @OptionGroup var broker: BrokerOptions

    @Option(name: [.customShort("t"), .customLong("topic")], help: "The topic.")
    var topic: String?

    @Option(name: [.customShort("q"), .customLong("qos")], help: "The quality of service: 0, 1 or 2.")
    var qos: UInt8 = 0

    @Flag(name: [.customShort("r"), .customLong("retain")], help: "Ask the server to keep it for later subscribers.")
    var retain = false

    @Option(name: [.customShort("m"), .customLong("message")], help: "The message.")
    var message: String?

    @Option(name: [.customShort("f"), .customLong("file")], help: "A file whose content is the message.")
    var file: String?

    @Flag(name: [.customShort("n"), .customLong("null-message")], help: "An empty message.")
    var isEmpty = false

    @Flag(name: [.customShort("l"), .customLong("stdin-line")], help: "Each line of standard input is a message.")
    var readsLines = false

    @Flag(name: [.customShort("s"), .customLong("stdin-file")], help: "All of standard input is one message.")
    var readsAll = false

    @Option(name: .customLong("repeat"), help: "Publish the message so many times.")
    var repetitions = 1

    @Option(name: .customLong("repeat-delay"), help: "Seconds between them.")
    var repeatDelay = 0.0

    @Option(name: [.customShort("M"), .customLong("max-inflight")], help: "How many may await their acknowledgement.")
    var maxInflight: UInt16 = 20

    func validate() throws {
        let sources = [message != nil, file != nil, isEmpty, readsLines, readsAll].count { $0 }
        guard sources == 1 else { throw ValidationError("give one of -m, -f, -n, -l and -s") }
        guard let topic = topic ?? broker.urlTopic else { throw ValidationError("give a topic with -t") }
        guard (try? TopicName(validating: topic, maxLevels: TopicLimits.levelsMax)) != nil else {
            throw ValidationError("'\(topic)' is not a topic to publish to; does it hold + or #?")
        }
        guard qos <= 2 else { throw ValidationError("-q is 0, 1 or 2") }
        guard repetitions >= 1 else { throw ValidationError("--repeat is 1 or more") }
        guard repeatDelay >= 0, repeatDelay <= 86_400 else { throw ValidationError("--repeat-delay is 0 to 86400") }
        guard maxInflight >= 1 else { throw ValidationError("-M is 1 or more") }
    }

    func run() async throws {
        let log = ClientLog(broker)
        do {
            let code = try await publishAll(log)
            guard code == 0 else { throw ExitCode(code) }
        } catch let error as MosquittoError {
            log.error(error.description)
            throw ExitCode(ClientExitCode.of(error))
        }
    }

    private func publishAll(_ log: ClientLog) async throws -> Int32 {
        var configuration = try broker.makeConfiguration()
        configuration.sendMaximum = maxInflight
        let source = try makeSource(log)
        let publisher = Publisher(
            topic: topic ?? broker.urlTopic ?? "",
            qos: qos,
            retain: retain,
            properties: try broker.makePublishProperties(),
            window: Int(maxInflight),
            log: log
        )
        let connection = try MosquittoConnection(configuration: configuration) { publisher.handle($0) }
        publisher.connect(connection, source: source)
        try connection.start()
        let code = await publisher.outcome.wait()
        connection.stop(timeoutSeconds: 2)
        return code
    }

    private func makeSource(_ log: ClientLog) throws -> Publisher.Source {
        if readsLines {
            return Publisher.Source(delaySeconds: 0) {
                var input = ByteInput()
                return { input.line() }
            }
        }
        var payload: [UInt8] = []
        if let message { payload = Array(message.utf8) }
        if let file {
            guard let data = FileManager.default.contents(atPath: file) else {
                log.error("\(file) cannot be read")
                throw ExitCode(ClientExitCode.invalid)
            }
            payload = Array(data)
        }
        if readsAll { payload = ByteInput.all() }
        let (content, count) = (payload, repetitions)
        return Publisher.Source(delaySeconds: repeatDelay) {
            var left = count
            return {
                left -= 1
                return left >= 0 ? content : nil
            }
        }
    }
}
