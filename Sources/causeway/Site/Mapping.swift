import Access
import Audit
import Broker
import CausewayConfiguration
import Foundation
import HandlerKit
import HandlerRuntime
import Journal
import MQTT
import SiteHandlers
import SiteServer

// From the configuration's words to each module's own.

extension Duration {
    var wholeSeconds: UInt64 { UInt64(max(0, components.seconds)) }

    var wholeMilliseconds: Int {
        Int(clamping: components.seconds * 1_000 + components.attoseconds / 1_000_000_000_000_000)
    }
}

extension BrokerConfiguration {
    init(_ site: SiteConfiguration, instanceID: String) {
        self = site.compatibility == .mosquitto ? .mosquitto : BrokerConfiguration()
        take(site.limits, instanceID)
        systemIntervalSeconds = UInt32(clamping: site.sysInterval.wholeSeconds)
        clientIDOwnership = ClientIDOwnership(rawValue: site.clientIDOwnership.rawValue) ?? .identity
        let offersScram = ([site.users] + site.listeners.map(\.users)).contains { $0?.offersScram == true }
        authenticationMethods = offersScram ? [ListenerAuthenticator.scramMethod] : []
        let alarms = site.bridges.flatMap(\.routes).filter { $0.trafficClass == .alarm }.map(\.topic)
        // Both were checked when the file was read.
        alarmFilters = (site.journal.reserveTopics + alarms).compactMap { try? TopicFilter(TopicPattern($0).filter) }
    }

    init(_ limits: LimitsConfiguration, instanceID: String) {
        self.init()
        take(limits, instanceID)
    }

    private mutating func take(_ limits: LimitsConfiguration, _ instanceID: String) {
        inflightMessagesMax = limits.maxInflightMessages
        inflightBytesMax = limits.maxInflightBytes
        queuedMessagesMax = limits.maxQueuedMessages
        queuedBytesMax = limits.maxQueuedBytes
        overflow =
            switch limits.overflow {
            case .dropOldest: .dropOldest
            case .dropNewest: .dropNewest
            case .disconnect: .disconnect
            }
        receiveMaximum = UInt16(clamping: limits.receiveMaximum)
        packetBytesMax = limits.maxPacketBytes
        if limits.messageSizeLimit > 0 { payloadBytesMax = limits.messageSizeLimit }
        topicAliasMaximum = UInt16(clamping: limits.topicAliasMaximum)
        topicAliasMaximumOutbound = UInt16(clamping: limits.topicAliasMaximumOutbound)
        topicLevelsMax = limits.maxTopicLevels
        subscriptionsPerSessionMax = limits.maxSubscriptions
        retainedMessagesMax = limits.maxRetainedMessages
        isRetainAvailable = limits.isRetainAvailable
        checksRetainSource = limits.checkRetainSource
        queuesQoS0 = limits.queueQoS0Messages
        upgradesOutgoingQoS = limits.upgradeOutgoingQoS
        clientIDPrefixes = limits.clientIDPrefixes
        serverReference = limits.serverReference
        responseInformation = limits.responseInformation
        sessionsMax = limits.maxSessions
        sessionExpirySecondsMax = limits.sessionExpiryMax.map { UInt32(clamping: $0.wholeSeconds) } ?? .max
        keepAliveSecondsMax = UInt16(clamping: limits.maxKeepAliveSeconds)
        connectSeconds = limits.connectTimeout.wholeSeconds
        self.instanceID = instanceID
    }
}

extension AuditConfiguration {
    /// Reads the file of the key, if there is one.
    init(_ settings: AuditSettings) throws {
        self.init(directory: settings.path)
        key = try settings.keyFile.map { Array(try SecretFile.read($0).utf8) }
        fileBytesMax = settings.maxFileBytes
        fileSecondsMax = Int(settings.maxFileAge.wholeSeconds)
        keepSeconds = settings.keep.map { Int($0.wholeSeconds) }
        sync = settings.sync == .system ? .system : .always
        onFailure = settings.onFailure == .stop ? .stop : .continue
    }
}

extension Journal.Configuration {
    /// Reads the keys, if the journal is encrypted.
    init(_ journal: JournalConfiguration, directory: String) throws {
        self.init(directory: directory)
        keys = try EncryptionKeys.ring(journal)
        segmentBytes = journal.segmentBytes
        reserveSegments = ((journal.reserveBytes ?? segmentBytes) + segmentBytes - 1) / segmentBytes
        maxBytes = journal.maxBytes
        sync =
            switch journal.sync {
            case .always: .always
            case .interval(let interval): .interval(milliseconds: interval.wholeMilliseconds)
            case .os: .os
            }
    }
}

extension RuleAuthorizer {
    /// The configured rules. Without `access`, whoever was let in may do everything; an empty list lets nobody do
    /// anything.
    static func make(_ access: AccessConfiguration?, levelsMax: Int) throws -> RuleAuthorizer {
        guard let rules = access?.rules else { return try RuleAuthorizer(rules: [], levelsMax: levelsMax) }
        let nobody = Rule(users: [], clients: [])
        return try RuleAuthorizer(
            rules: [nobody]
                + rules.map { rule in
                    Rule(
                        users: rule.users,
                        clients: rule.clients,
                        publish: rule.publish,
                        subscribe: rule.subscribe,
                        receive: rule.receive.isEmpty ? nil : rule.receive
                    )
                },
            levelsMax: levelsMax
        )
    }
}

extension ListenerAuthenticator {
    static func make(_ users: UsersConfiguration?) throws -> ListenerAuthenticator {
        guard let file = users?.passwordFile else { return ListenerAuthenticator() }
        return ListenerAuthenticator(passwords: try PasswordFileAuthenticator(file: PasswordFile(path: file)))
    }
}

extension JSONValue {
    init(_ value: ConfigurationValue) {
        switch value {
        case .null: self = .null
        case .bool(let value): self = .bool(value)
        case .integer(let value): self = .integer(value)
        case .number(let value): self = .number(value)
        case .text(let value): self = .string(value)
        case .list(let values): self = .array(values.map { JSONValue($0) })
        case .map(let values): self = .object(values.mapValues { JSONValue($0) })
        }
    }
}

extension HandlerRegistration {
    /// A handler of the configuration, or why there can be none.
    static func make(_ handler: HandlerConfiguration, siteKey: String?) throws -> HandlerRegistration {
        guard let plugin = SiteHandlers.plugin(named: handler.plugin) else {
            let known = SiteHandlers.builtIn.map { $0.plugin.name }.joined(separator: ", ")
            throw HandlerConfigurationError(
                parameter: "plugin",
                problem: "there is no plugin \(handler.plugin)",
                hint: "use one of \(known)"
            )
        }
        var values = handler.parameters.mapValues { JSONValue($0) }
        let parameters = plugin.plugin.parameters
        if let mode = handler.mode, values["mode"] == nil, parameters.contains(where: { $0.name == "mode" }) {
            values["mode"] = .string(mode.rawValue)
        }
        for parameter in parameters where values[parameter.name] == nil {
            if case .secret = parameter.kind, let siteKey { values[parameter.name] = .string(siteKey) }
        }
        return HandlerRegistration(
            name: handler.name,
            plugin: plugin,
            topics: handler.topics,
            key: handler.key,
            parameters: HandlerParameters(values)
        )
    }
}
