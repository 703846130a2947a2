import Bridge
import CausewayConfiguration
import MQTT
import MosquittoClient

extension RelaySettings {
    /// A relay of the configuration. Reads the file of its password, if it has one.
    ///
    /// - Parameter stateDirectory: Where it keeps what it must know after a restart; nil: in memory.
    init(
        _ bridge: MosquittoBridge,
        limits: LimitsConfiguration,
        hostName: String,
        stateDirectory: String?
    ) throws {
        self.init(
            name: bridge.name,
            hostName: hostName,
            addresses: bridge.addresses.map { Address(host: $0.host, port: UInt16(clamping: $0.port)) },
            topics: bridge.topics.map { RelayTopic($0) }
        )
        remoteClientID = bridge.effectiveRemoteClientID(hostName: hostName)
        localClientID = bridge.effectiveLocalClientID(hostName: hostName)
        isRoundRobin = bridge.roundRobin
        protocolVersion =
            switch bridge.protocolVersion {
            case .mqttv31: .v3_1
            case .mqttv311: .v3_1_1
            case .mqttv50: .v5
            }
        triesPrivate = bridge.tryPrivate
        remoteUsername = bridge.remoteUsername
        remotePassword = try bridge.remotePasswordFile.map { try SecretFile.read($0) } ?? bridge.remotePassword
        localUsername = bridge.localUsername
        localPassword = bridge.localPassword
        tls = bridge.tls.isUsed ? MosquittoTLSOptions(bridge.tls) : nil
        isRemoteSessionClean = bridge.cleanSession
        isLocalSessionClean = bridge.localCleanSession
        remoteSessionExpirySeconds = UInt32(clamping: bridge.sessionExpirySeconds)
        startType =
            switch bridge.startType {
            case .automatic: .automatic
            case .lazy: .lazy(threshold: bridge.threshold, idleTimeoutSeconds: bridge.idleTimeoutSeconds)
            case .once: .once
            }
        restart =
            switch bridge.restart {
            case .constant(let seconds): .constant(milliseconds: seconds * 1_000)
            case .backoff(let base, let cap, let stable):
                .backoff(
                    baseMilliseconds: base * 1_000,
                    capMilliseconds: cap * 1_000,
                    stableMilliseconds: stable * 1_000
                )
            }
        keepAliveSeconds = UInt16(clamping: bridge.keepAliveSeconds)
        publishesState = bridge.notifications
        publishesStateLocallyOnly = bridge.notificationsLocalOnly
        stateTopic = bridge.notificationTopic
        attemptsUnsubscribe = bridge.attemptUnsubscribe
        keepsOutgoingRetain = bridge.outgoingRetain
        remotePacketBytesMax = UInt32(clamping: bridge.maxPacketBytes)
        window = UInt16(clamping: limits.maxInflightMessages)
        receiveMaximum = bridge.receiveMaximum.map { UInt16(clamping: $0) } ?? window
        topicAliasMaximum = UInt16(clamping: bridge.maxTopicAlias)
        inboundPacketBytesMax = limits.maxPacketBytes
        bindAddress = bridge.bindAddress
        if bridge.tcpKeepAlive.count == 3 {
            tcpKeepAlive = TCPKeepAlive(
                idleSeconds: bridge.tcpKeepAlive[0],
                intervalSeconds: bridge.tcpKeepAlive[1],
                probes: bridge.tcpKeepAlive[2]
            )
        }
        tcpUserTimeoutMilliseconds = bridge.tcpUserTimeoutMilliseconds.map { UInt32(clamping: $0) }
        reloadsImmediately = bridge.reloadType == .immediate
        self.stateDirectory = stateDirectory
    }
}

extension RelayTopic {
    init(_ topic: MosquittoBridge.Topic) {
        self.init(
            pattern: topic.pattern,
            direction: Direction(topic.direction),
            qos: QoS(rawValue: UInt8(clamping: topic.qos)) ?? .exactlyOnce,
            localPrefix: topic.localPrefix,
            remotePrefix: topic.remotePrefix
        )
    }
}

extension RelayTopic.Direction {
    init(_ direction: MosquittoBridge.Direction) {
        switch direction {
        case .in: self = .in
        case .out: self = .out
        case .both: self = .both
        }
    }
}

extension MosquittoTLSOptions {
    init(_ tls: MosquittoBridge.TLS) {
        self.init(cafile: tls.authorityFile, certfile: tls.certificateFile, keyfile: tls.keyFile)
        capath = tls.authorityFolder
        alpn = tls.applicationProtocol
        minimumVersion = tls.version == TLSVersion.tls13.rawValue ? .tls13 : .tls12
        insecure = tls.skipsHostNameCheck
    }
}
