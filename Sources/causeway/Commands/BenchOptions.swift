import ArgumentParser
import Bench
import Foundation
import MQTT

/// Where the broker is, in mosquitto_pub's words.
struct BenchTargetOptions: ParsableArguments {
    @Option(name: [.customShort("h"), .customLong("host")], help: "The host to connect to.")
    var host = "localhost"

    @Option(name: [.customShort("p"), .customLong("port")], help: "The port. Without: 1883, or 8883 with TLS.")
    var port: UInt16?

    @Option(name: [.customShort("u"), .customLong("username")], help: "The user name.")
    var username: String?

    @Option(
        name: [.customShort("P"), .customLong("pw"), .customLong("password")],
        help: "The password. Others on this machine can see it: prefer --pw-file."
    )
    var password: String?

    @Option(name: .customLong("pw-file"), help: "A file with the password; a line's end after it does not count.")
    var passwordFile: String?

    @Flag(help: "TLS, with the system's authorities unless --cafile names others.")
    var tls = false

    @Option(help: "Certificates of the authorities that may vouch for the server, PEM. Turns TLS on.")
    var cafile: String?

    @Option(help: "Our certificate, PEM. Turns TLS on.")
    var cert: String?

    @Option(help: "Its private key, PEM.")
    var key: String?

    @Flag(help: "Do not check the server's certificate. For trials only.")
    var insecure = false

    @Option(name: [.customShort("V"), .customLong("protocol-version")], help: "mqttv311 or mqttv5.")
    var version = BrokerOptions.Version.mqttv311

    func validate() throws {
        if (cert == nil) != (key == nil) { throw ValidationError("--cert and --key belong together") }
        if password != nil, passwordFile != nil { throw ValidationError("-P and --pw-file exclude each other") }
    }

    /// Reads the files.
    func make() throws -> BenchTarget {
        let usesTLS = tls || cafile != nil || cert != nil
        let context =
            try usesTLS
            ? BenchTLS(
                host: host,
                authorityFile: cafile,
                certificateFile: cert,
                keyFile: key,
                isInsecure: insecure
            ) : nil
        return BenchTarget(
            host: host,
            port: Int(port ?? (usesTLS ? 8_883 : 1_883)),
            tls: context,
            username: username,
            password: try password ?? passwordFile.map { try BrokerOptions.readPassword($0) },
            version: version == .mqttv5 || version == .five ? .v5 : .v3_1_1
        )
    }
}

/// What all loads have in common.
struct BenchLoadOptions: ParsableArguments {
    @Option(help: "Pairs, or connections on the many's side.")
    var clients = 10

    @Option(name: [.customShort("q"), .customLong("qos")], help: "The quality of service: 0, 1 or 2.")
    var qos: UInt8 = 0

    @Option(help: "Bytes of each payload.")
    var payload = 64

    @Option(help: "Seconds of each round.")
    var seconds = 3.0

    @Option(help: "Seconds before anything counts.")
    var warmup = 1.0

    @Option(help: "Rounds; their median is the figure.")
    var rounds = 5

    @Option(help: "Write the figures into this file, - for standard output alone.")
    var json: String?

    func validate() throws {
        guard qos <= 2 else { throw ValidationError("--qos is 0, 1 or 2") }
    }

    /// Runs a load and reports it. Ends with 1 if the broker could not be measured; what it lost is in the figures.
    func run(
        _ shape: BenchShape,
        pace: BenchPace,
        spins: Bool = false,
        on target: BenchTargetOptions
    ) async throws {
        let settings = BenchSettings(
            shape: shape,
            clients: clients,
            qos: QoS(rawValue: qos) ?? .atMostOnce,
            payloadBytes: payload,
            pace: pace,
            warmupSeconds: warmup,
            seconds: seconds,
            rounds: rounds,
            spins: spins
        )
        do {
            let result = try await Bench.run(settings, on: try target.make())
            try BenchReport.write(result, to: json) { BenchReport.text(result, settings) }
        } catch let error as BenchError {
            Output.problem("Error: \(error)")
            throw ExitCode.failure
        }
    }
}

/// What may be on its way.
struct BenchBoundOptions: ParsableArguments {
    @Option(help: "Deliveries on their way over all connections. Without: 2,000 with QoS 0.")
    var window: Int?

    @Option(help: "Messages on their way from each publisher. Without: 20 with QoS 1 and 2.")
    var inflight: Int?

    func validate() throws {
        if window != nil, inflight != nil { throw ValidationError("--window and --inflight exclude each other") }
    }

    func pace(_ load: BenchLoadOptions) throws -> BenchPace {
        if let window { return .window(window) }
        if let inflight { return .inflight(inflight) }
        return load.qos == 0 ? .window(2_000) : .inflight(20)
    }
}
