import ArgumentParser
import Foundation
import MosquittoClient

/// The options `pub` and `sub` share: those of mosquitto_pub and mosquitto_sub, letter for letter.
struct BrokerOptions: ParsableArguments {
    /// `-V`, in Mosquitto's words.
    enum Version: String, ExpressibleByArgument {
        case mqttv5, mqttv311
        case five = "5"
        case four = "311"
    }

    @Option(name: [.customShort("h"), .customLong("host")], help: "The host to connect to.")
    var host = "localhost"

    @Option(
        name: [.customShort("p"), .customLong("port")],
        help: "The port. Without: 1883, or 8883 with TLS."
    )
    var port: UInt16?

    @Option(
        name: [.customShort("L"), .customLong("url")],
        help: "Host, port, user and topic in one: mqtt(s)://[user[:password]@]host[:port]/topic."
    )
    var url: String?

    @Option(name: [.customShort("i"), .customLong("id")], help: "The client identifier.")
    var clientID: String?

    @Option(
        name: [.customShort("I"), .customLong("id-prefix")],
        help: "Make the client identifier of this and the process's number."
    )
    var clientIDPrefix: String?

    @Option(name: [.customShort("u"), .customLong("username")], help: "The user name.")
    var username: String?

    @Option(
        name: [.customShort("P"), .customLong("pw")],
        help: "The password. Others on this machine can see it: prefer --pw-file."
    )
    var password: String?

    @Option(name: .customLong("pw-file"), help: "A file with the password; a line's end after it does not count.")
    var passwordFile: String?

    @Option(help: "Certificates of the authorities that may vouch for the server, PEM. Turns TLS on.")
    var cafile: String?

    @Option(help: "A folder of such certificates, with hashed names. Turns TLS on.")
    var capath: String?

    @Flag(name: .customLong("tls-use-os-certs"), help: "Trust the system's authorities. Turns TLS on.")
    var usesSystemAuthorities = false

    @Option(help: "Our certificate, PEM.")
    var cert: String?

    @Option(help: "Its private key, PEM.")
    var key: String?

    @Flag(help: "Do not check that the server's certificate is for this host. For trials only.")
    var insecure = false

    @Option(name: .customLong("tls-alpn"), help: "The application protocol to ask for.")
    var alpn: String?

    @Option(name: .customLong("tls-version"), help: "The oldest version of TLS: tlsv1.2 or tlsv1.3.")
    var tlsVersion: String?

    @Option(
        name: [.customShort("V"), .customLong("protocol-version")],
        help: "mqttv5 or mqttv311. Without: mqttv311, or mqttv5 with -D."
    )
    var version: Version?

    @Option(name: [.customShort("k"), .customLong("keepalive")], help: "Keep alive in seconds, 5 to 65535, or 0.")
    var keepAlive: UInt16 = 60

    @Flag(
        name: [.customShort("c"), .customLong("disable-clean-session")],
        help: "Keep the session on the server after this client has gone."
    )
    var keepsSession = false

    @Option(
        name: [.customShort("x"), .customLong("session-expiry-interval")],
        help: "How many seconds the server keeps the session (mqttv5)."
    )
    var sessionExpiry: String?

    @Flag(name: [.customShort("d"), .customLong("debug")], help: "Say what happens, on standard error.")
    var debug = false

    @Flag(help: "Do not print errors.")
    var quiet = false

    @Option(name: .customLong("will-topic"), help: "Where the server publishes if this client is lost.")
    var willTopic: String?

    @Option(name: .customLong("will-payload"), help: "What it publishes there.")
    var willPayload: String?

    @Option(name: .customLong("will-qos"), help: "With which quality of service.")
    var willQoS: UInt8 = 0

    @Flag(name: .customLong("will-retain"), help: "Whether retained.")
    var willRetain = false

    @Option(
        name: [.customShort("D"), .customLong("property")],
        parsing: .upToNextOption,
        help: ArgumentHelp(
            "A property: COMMAND NAME VALUE, or COMMAND user-property NAME VALUE.",
            discussion:
                "PUBLISH: content-type, response-topic, correlation-data, message-expiry-interval, user-property. "
                + "CONNECT: session-expiry-interval, receive-maximum, maximum-packet-size."
        )
    )
    var property: [String] = []

    func validate() throws {
        if clientID != nil, clientIDPrefix != nil { throw ValidationError("-i and -I exclude each other") }
        if (cert == nil) != (key == nil) { throw ValidationError("--cert and --key belong together") }
        if password != nil, passwordFile != nil { throw ValidationError("-P and --pw-file exclude each other") }
        if willQoS > 2 { throw ValidationError("--will-qos is 0, 1 or 2") }
        if willTopic == nil, willPayload != nil || willRetain || willQoS > 0 {
            throw ValidationError("--will-payload, --will-qos and --will-retain need --will-topic")
        }
        if keepAlive > 0, keepAlive < 5 { throw ValidationError("-k is 0 or 5 to 65535") }
        if keepsSession, clientID == nil, clientIDPrefix == nil {
            throw ValidationError("a session that is kept needs a client identifier: give -i or -I with -c")
        }
        if let tlsVersion, !["tlsv1.2", "tlsv1.3"].contains(tlsVersion) {
            throw ValidationError("--tls-version is tlsv1.2 or tlsv1.3")
        }
        _ = try PropertyOptions(words: property)
        if let url { _ = try BrokerURL(url) }
        if let sessionExpiry { _ = try Self.seconds(sessionExpiry) }
    }

    /// The topic of `-L`, if there is one.
    var urlTopic: String? { url.flatMap { try? BrokerURL($0).topic } }

    /// What libmosquitto is to do.
    func makeConfiguration() throws -> MosquittoConfiguration {
        let properties = try PropertyOptions(words: property)
        let url = try url.map { try BrokerURL($0) }
        let host = url?.host ?? host
        let usesTLS =
            url?.usesTLS ?? false || cafile != nil || capath != nil || usesSystemAuthorities || cert != nil
        let port = url?.port ?? port ?? (usesTLS ? 8_883 : 1_883)
        let clientID = clientID ?? clientIDPrefix.map { "\($0)\(getpid())" } ?? ""
        var configuration = MosquittoConfiguration(host: host, port: port, clientID: clientID)
        let isFive = version.map { $0 == .mqttv5 || $0 == .five } ?? !property.isEmpty
        configuration.protocolVersion = isFive ? .v5 : .v311
        configuration.cleanStart = !keepsSession
        configuration.sessionExpirySeconds =
            try sessionExpiry.map { try Self.seconds($0) } ?? properties.sessionExpirySeconds
            ?? (keepsSession ? UInt32.max : nil)
        configuration.keepAliveSeconds = keepAlive
        configuration.username = url?.username ?? username
        configuration.password = try url?.password ?? password ?? passwordFile.map { try Self.readPassword($0) }
        configuration.will = willTopic.map { topic in
            MosquittoWill(
                topic: topic,
                payload: Array((willPayload ?? "").utf8),
                qos: willQoS,
                retain: willRetain
            )
        }
        if let receiveMaximum = properties.receiveMaximum { configuration.receiveMaximum = receiveMaximum }
        configuration.maximumPacketBytes = properties.maximumPacketBytes
        if usesTLS { configuration.tls = try MosquittoTLSContext(options: tlsOptions, host: host) }
        return configuration
    }

    /// What `-D PUBLISH` asks for.
    func makePublishProperties() throws -> MosquittoPublishProperties { try PropertyOptions(words: property).publish }

    private var tlsOptions: MosquittoTLSOptions {
        var options = MosquittoTLSOptions(cafile: cafile, certfile: cert, keyfile: key)
        options.capath = capath
        options.alpn = alpn
        options.insecure = insecure
        if tlsVersion == "tlsv1.3" { options.minimumVersion = .tls13 }
        return options
    }

    /// The password in a file, without the line's end after it.
    static func readPassword(_ file: String) throws -> String {
        guard let data = FileManager.default.contents(atPath: file), let text = String(data: data, encoding: .utf8)
        else { throw ValidationError("\(file) cannot be read as a password") }
        return text.hasSuffix("\n") ? String(text.dropLast()) : text
    }

    private static func seconds(_ text: String) throws -> UInt32 {
        if text == "-1" || text == "∞" { return .max }
        guard let seconds = UInt32(text) else {
            throw ValidationError("-x is a number of seconds up to 4294967295, or -1 for ever")
        }
        return seconds
    }
}
