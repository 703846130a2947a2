import Broker
import CausewayConfiguration
import MQTT
import SiteServer

// The listeners of a configuration in the words of the server.

extension SiteServerConfiguration {
    init(_ site: SiteConfiguration) {
        self.init(
            listeners: site.listeners.map { Listener($0, limits: site.limits) },
            limits: SiteServerLimits(site),
            journalKeep: site.journal.keep
        )
    }
}

extension SiteServerConfiguration.Listener {
    init(_ listener: ListenerConfiguration, limits: LimitsConfiguration) {
        self.init(
            name: listener.name,
            host: listener.bind.host,
            port: listener.bind.port,
            tls: listener.tls.map { SiteServerConfiguration.TLS($0) },
            insecure: listener.isInsecureAllowed,
            allowAnonymous: listener.allowAnonymous,
            connectionsMax: listener.maxConnections,
            policy: ListenerPolicy(listener, limits: limits)
        )
        unixSocket = listener.unixSocket.map { .init(path: $0.path, mode: $0.mode) }
        interface = listener.interface
        family =
            switch listener.family {
            case .any: .any
            case .ipv4: .ipv4
            case .ipv6: .ipv6
            }
        if listener.wireProtocol == .websockets {
            transport = .webSockets(.init(origins: listener.webSockets.origins, paths: listener.webSockets.paths))
        }
        proxyProtocol = listener.proxyProtocol.map { SiteServerConfiguration.ProxyProtocol($0) }
        publishRateMax = listener.maxPublishRate
        publishBytesPerSecondMax = listener.maxPublishBytesPerSecond
    }
}

extension SiteServerConfiguration.TLS {
    init(_ tls: ListenerTLS) {
        self.init(
            certificateFile: tls.certificateFile,
            keyFile: tls.keyFile,
            authorityFile: tls.authorityFile,
            requireCertificate: tls.requireCertificate,
            useIdentityAsUsername: tls.useIdentityAsUsername,
            minimumVersion: tls.minimumVersion == .tls13 ? .tls13 : .tls12
        )
        if tls.asksForCertificate { clientCertificate = .optional }
        revocationFile = tls.revocationFile
        closesRevoked = tls.closesRevoked
        useSubjectAsUsername = tls.useSubjectAsUsername
        profile = tls.profile == .modern ? .modern : .intermediate
        ciphers = tls.ciphers
    }
}

extension SiteServerConfiguration.ProxyProtocol {
    init(_ proxy: ListenerConfiguration.ProxyProtocol) {
        let version: Version =
            switch proxy.version {
            case .v1: .v1
            case .v2: .v2
            case .any: .any
            }
        self.init(
            version: version,
            trustedNetworks: proxy.from,
            requireTLS: proxy.requireTLS,
            requireCertificate: proxy.requireCertificate,
            useIdentityAsUsername: proxy.useIdentityAsUsername
        )
    }
}

extension ListenerPolicy {
    init(_ listener: ListenerConfiguration, limits: LimitsConfiguration) {
        self.init()
        versions = Set(
            listener.protocolVersions.map { version in
                switch version {
                case .v31: .v3_1
                case .v311: .v3_1_1
                case .v5: .v5
                }
            }
        )
        mountPoint = listener.mountPoint
        qosMax = QoS(rawValue: UInt8(clamping: listener.maxQoS)) ?? .exactlyOnce
        isRetainAvailable = listener.isRetainAvailable ?? limits.isRetainAvailable
        packetBytesMax = listener.maxPacketBytes
        keepAliveSecondsMax = listener.maxKeepAliveSeconds.map { UInt16(clamping: $0) }
        receiveMaximum = listener.receiveMaximum.map { UInt16(clamping: $0) }
        topicAliasMaximum = listener.topicAliasMaximum.map { UInt16(clamping: $0) }
        topicAliasMaximumOutbound = listener.topicAliasMaximumOutbound.map { UInt16(clamping: $0) }
        assignedClientIDPrefix = listener.assignedClientIDPrefix
        allowsEmptyClientID = listener.allowsEmptyClientID
        usesUsernameAsClientID = listener.usesUsernameAsClientID
    }
}

extension SiteServerLimits {
    init(_ site: SiteConfiguration) {
        self.init(site.limits)
        // Mosquitto takes a CONNECT of 100,000 bytes behind its fixed header.
        if site.compatibility == .mosquitto { decoder.maxConnectBytes = 100_004 }
    }

    init(_ limits: LimitsConfiguration) {
        self.init()
        connectionsMax = limits.maxConnections
        connectionsPerAddressMax = limits.maxConnectionsPerAddress
        connectionRatePerAddressMax = limits.maxConnectionRatePerAddress
        connectionBurstPerAddressMax = max(limits.maxConnectionBurstPerAddress, limits.maxConnectionRatePerAddress)
        handshakeSeconds = limits.handshakeTimeout.wholeSeconds
        preConnectBytesMax = limits.maxUnauthenticatedBytes
        publishRateMax = limits.maxPublishRate
        publishBytesPerSecondMax = limits.maxPublishBytesPerSecond
        httpHeadBytesMax = limits.maxHTTPHeaderBytes
        webSocketFrameBytesMax = limits.maxWebSocketFrameBytes
        outboundBytesMax = limits.maxOutgoingBytes
        outboundResumeBytes = limits.maxOutgoingBytes / 2
        decoder.maxConnectBytes = limits.maxConnectBytes
        decoder.maxProperties = limits.maxProperties
        decoder.maxFilters = limits.maxFilters
        decoder.maxPacketBytes = limits.maxPacketBytes
        decoder.maxTopicLevels = limits.maxTopicLevels
    }
}
