import Foundation
import MosquittoClient
import MosquittoFixture
import Testing

@Suite("A connection to a stock mosquitto", .serialized)
struct ConnectionTests {
    @Test("carries messages both ways with all properties", arguments: [MosquittoProtocol.v5, .v311])
    func roundTrip(version: MosquittoProtocol) throws {
        try withTemporaryFolder { folder in
            let broker = try MosquittoBroker(directory: folder)
            try broker.start()
            var configuration = MosquittoConfiguration.loopback(broker.port)
            configuration.protocolVersion = version
            let (connection, log) = try MosquittoConnection.started(configuration)
            let server = try log.connected()
            #expect(!server.sessionPresent)
            #expect(server.tls == nil)
            try connection.subscribe(["a/#", "b"], qos: 1)
            let granted = try log.wait("subscribed") { if case .subscribed(_, let codes) = $0 { codes } else { nil } }
            #expect(granted == [1, 1])

            var properties = MosquittoPublishProperties()
            properties.userProperties = [.init("k", "1"), .init("k", "2"), .init("æ", "ø")]
            properties.contentType = "application/json"
            properties.messageExpirySeconds = 1000
            properties.correlationData = [0, 255]
            properties.responseTopic = "r"
            let payload = (0..<300_000).map { UInt8(truncatingIfNeeded: $0) }
            let token = try connection.publish(topic: "a/x", payload: payload, qos: 1, properties: properties)
            #expect(try log.published(token) == 0)
            let message = try log.wait("message") { if case .message(let message) = $0 { message } else { nil } }
            #expect(message.topic == "a/x")
            #expect(message.payload == payload)
            #expect(message.qos == 1)
            if version == .v5 {
                #expect(message.userProperties == properties.userProperties)
                #expect(message.contentType == "application/json")
                #expect(message.messageExpirySeconds.map { (990...1000).contains($0) } == true)
                #expect(message.correlationData == [0, 255])
                #expect(message.responseTopic == "r")
            }
            #expect(connection.stop())
            #expect(try log.disconnected() == nil)
        }
    }

    @Test("completes QoS 0 when written and QoS 2 when the flow is done")
    func otherQualities() throws {
        try withTemporaryFolder { folder in
            let broker = try MosquittoBroker(directory: folder)
            try broker.start()
            let (connection, log) = try MosquittoConnection.started(.loopback(broker.port))
            _ = try log.connected()
            for qos in [UInt8(0), 2] {
                let token = try connection.publish(topic: "t", payload: [1], qos: qos)
                _ = try log.published(token)
            }
            connection.stop()
        }
    }

    @Test("says what is wrong when nobody listens, when credentials are refused, and never with the password")
    func refusals() throws {
        try withTemporaryFolder { folder in
            let (unreachable, first) = try MosquittoConnection.started(.loopback(try freePort()))
            #expect(try first.connectFailed().code == .unreachable)
            unreachable.stop()

            let broker = try MosquittoBroker(directory: folder, lines: ["allow_anonymous false"])
            try broker.start()
            for version in [MosquittoProtocol.v5, .v311] {
                var configuration = MosquittoConfiguration.loopback(broker.port)
                configuration.protocolVersion = version
                configuration.username = "canary-user"
                configuration.password = "canary-password"
                let (refused, log) = try MosquittoConnection.started(configuration)
                let error = try log.connectFailed()
                #expect(error.code == .notAuthorized)
                #expect(!"\(error)".contains("canary"))
                refused.stop()
            }
        }
    }

    @Test("ends with an error when the broker is killed, and only once")
    func brokerKilled() throws {
        try withTemporaryFolder { folder in
            let broker = try MosquittoBroker(directory: folder)
            try broker.start()
            let (connection, log) = try MosquittoConnection.started(.loopback(broker.port))
            _ = try log.connected()
            broker.kill()
            #expect(try log.disconnected()?.code == .connectionLost)
            #expect(throws: MosquittoError.self) { try connection.publish(topic: "t", payload: [], qos: 0) }
            connection.stop()
            #expect(log.all.filter { if case .disconnected = $0 { true } else { false } }.count == 1)
        }
    }

    @Test("does not wait for ever for a server that accepts and stays silent")
    func silentServer() throws {
        let server = try FakeServer()
        var configuration = MosquittoConfiguration.loopback(server.port)
        configuration.handshakeTimeoutSeconds = 1
        let (connection, log) = try MosquittoConnection.started(configuration)
        #expect(try log.connectFailed().code == .timeout)
        connection.stop()
    }

    @Test("tells what the server allows")
    func serverProperties() throws {
        let server = try FakeServer()
        let (connection, log) = try MosquittoConnection.started(.loopback(server.port))
        // Receive maximum 7, maximum QoS 1, no retain, maximum packet size 1000, server keep alive 30.
        try server.acceptSession(properties: [0x21, 0, 7, 0x24, 1, 0x25, 0, 0x27, 0, 0, 3, 232, 0x13, 0, 30])
        let properties = try log.connected()
        #expect(properties.receiveMaximum == 7)
        #expect(properties.maximumQoS == 1)
        #expect(!properties.retainAvailable)
        #expect(properties.maximumPacketBytes == 1000)
        #expect(properties.keepAliveSeconds == 30)
        #expect(throws: MosquittoError.self) {
            try connection.publish(topic: "t", payload: [UInt8](repeating: 0, count: 2000), qos: 1)
        }
        connection.abandon()
    }

    @Test("carries the reason of a server's DISCONNECT")
    func serverDisconnects() throws {
        let server = try FakeServer()
        let (connection, log) = try MosquittoConnection.started(.loopback(server.port))
        try server.acceptSession()
        _ = try log.connected()
        server.send([0xE0, 2, 0x8B, 0])
        let error = try #require(try log.disconnected())
        #expect(error.code == .closedByServer)
        #expect(error.reasonCode == 0x8B)
        connection.stop()
    }

    @Test("works with more than 1024 descriptors open, where select would not")
    func manyDescriptors() throws {
        try withTemporaryFolder { folder in
            let broker = try MosquittoBroker(directory: folder)
            try broker.start()
            var limit = rlimit()
            getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
            limit.rlim_cur = min(limit.rlim_max, 4096)
            setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
            let held = (0..<1100).map { _ in dup(0) }
            defer { for descriptor in held where descriptor >= 0 { close(descriptor) } }
            try #require(held.contains { $0 > 1023 })
            let (connection, log) = try MosquittoConnection.started(.loopback(broker.port))
            _ = try log.connected()
            let token = try connection.publish(topic: "t", payload: [1], qos: 1)
            _ = try log.published(token)
            connection.stop()
        }
    }

    @Test("delivers nothing after it was abandoned")
    func abandoned() throws {
        try withTemporaryFolder { folder in
            let broker = try MosquittoBroker(directory: folder)
            try broker.start()
            let (connection, log) = try MosquittoConnection.started(.loopback(broker.port))
            _ = try log.connected()
            connection.abandon()
            broker.kill()
            #expect(connection.stop())
            #expect(!log.all.contains { if case .disconnected = $0 { true } else { false } })
        }
    }

    @Test("refuses impossible configurations before any socket is opened")
    func impossible() throws {
        var keepAlive = MosquittoConfiguration.loopback(1)
        keepAlive.keepAliveSeconds = 3
        var window = MosquittoConfiguration.loopback(1)
        window.receiveMaximum = 0
        var anonymous = MosquittoConfiguration.loopback(1, "")
        anonymous.cleanStart = false
        for configuration in [keepAlive, window, anonymous] {
            #expect(throws: MosquittoError.self) { try MosquittoConnection(configuration: configuration) { _ in } }
        }
    }
}
