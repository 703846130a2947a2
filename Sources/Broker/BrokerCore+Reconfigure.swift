import MQTT

// Other limits while the broker runs.
extension BrokerCore {
    /// The limits in force.
    public var limits: BrokerConfiguration { configuration }

    /// Puts other limits in force.
    ///
    /// What a client is told in CONNACK, and its window, hold for whoever has no CONNACK yet and for whoever comes;
    /// connected clients keep what they were told. Limits of queues, messages, sessions and topics count at once for
    /// everyone: what is queued beyond a lower one stays, and goes as it is delivered. Nothing is journalled.
    ///
    /// - Parameters:
    ///   - new: The limits. What has shaped the core since its start stays as it was: the journal, the name of this
    ///     start, whose ways it follows, to whom client identifiers belong, the `$SYS` interval.
    ///   - policies: What listeners grant from now on, by their names. Those that are not named stay.
    public func reconfigure(_ new: BrokerConfiguration, policies: [String: ListenerPolicy] = [:]) {
        configuration = new.keeping(configuration)
        for connection in connections {
            guard let connection, connection.state == .awaitingConnect || connection.state == .authenticating else {
                continue
            }
            connection.settle(policies[connection.info.listener] ?? connection.info.policy, configuration)
        }
    }
}

extension BrokerConfiguration {
    /// These limits, with what a running core keeps of those before.
    fileprivate func keeping(_ old: BrokerConfiguration) -> BrokerConfiguration {
        var next = self
        next.instanceID = old.instanceID
        next.isDurable = old.isDurable
        next.routeCacheEntriesMax = old.routeCacheEntriesMax
        next.clientIDOwnership = old.clientIDOwnership
        next.systemIntervalSeconds = old.systemIntervalSeconds
        next.systemVersion = old.systemVersion
        next.allowsDollarTopics = old.allowsDollarTopics
        next.releasesQoS2OnPubrel = old.releasesQoS2OnPubrel
        next.followsMosquitto = old.followsMosquitto
        next.sendsReasonStrings = old.sendsReasonStrings
        next.announcesSessionExpiry = old.announcesSessionExpiry
        next.refusesLongKeepAlive = old.refusesLongKeepAlive
        return next
    }
}
