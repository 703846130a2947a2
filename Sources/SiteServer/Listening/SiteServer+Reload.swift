public import Broker
internal import Logging
internal import MQTT
internal import NIOCore
internal import NIOPosix
internal import NIOSSL

/// What a reload of the listeners did.
public struct ListenerReload: Sendable, Hashable {
    /// Listeners whose certificates, authorities, lists, limits and policies are in force for whoever connects from now
    /// on.
    public var reloaded: [String] = []
    /// Listeners that are new, gone, or bound or spoken to in another way than before. They stay as they are until the
    /// next start.
    public var needRestart: [String] = []
    /// Listeners that have another certificate than before.
    public var certificates: [Certificate] = []
    /// Connections that were closed because their certificates are revoked by now.
    public var closed = 0

    /// A listener's certificate.
    public struct Certificate: Sendable, Hashable {
        /// The name of the listener.
        public var listener: String
        /// Where it was read.
        public var file: String
        /// Its SHA-256, as hexadecimal digits.
        public var fingerprint: String
    }
}

extension SiteServer {
    /// Reads the files of all listeners again and puts the options given here in force, without touching a connection
    /// that may stay.
    ///
    /// Everything is read before anything is changed: if one file cannot be used, all listeners stay as they were.
    /// Connections whose certificates are revoked by then are closed where
    /// ``SiteServerConfiguration/TLS/closesRevoked`` says so, before this returns.
    ///
    /// - Parameters:
    ///   - listeners: All listeners, known by their names.
    ///   - limits: Other bounds of the server; nil leaves them.
    ///   - broker: Other limits of the core; nil leaves them. See ``BrokerCore/reconfigure(_:policies:)``.
    /// - Throws: ``SiteServerError`` that names the file.
    public func reload(
        listeners: [SiteServerConfiguration.Listener],
        limits: SiteServerLimits? = nil,
        broker: BrokerConfiguration? = nil
    ) async throws -> ListenerReload {
        let known = try await onDriver { driver in
            Dictionary(driver.listeners.map { ($0.listener.name, $0.listener) }) { first, _ in first }
        }
        var report = ListenerReload()
        let same = listeners.filter { new in known[new.name].map { new.isServed(like: $0) } ?? false }
        let names = Set(same.map(\.name))
        report.needRestart = listeners.map(\.name).filter { !names.contains($0) }
        let given = Set(listeners.map(\.name))
        report.needRestart += known.keys.filter { !given.contains($0) }.sorted()
        report.reloaded = same.map(\.name)
        let prepared = try await blockingPool.runIfActive { try same.map { try ListenerRenewal($0) } }
        let (suspects, certificates) = try await onDriver { driver in
            if let limits { driver.take(limits) }
            let certificates = driver.changedCertificates(prepared)
            return (driver.renew(prepared, broker), certificates)
        }
        report.certificates = certificates
        report.closed = try await closeRevoked(suspects)
        logger.info(
            "Listeners are reloaded",
            metadata: [
                "cw_listeners": "\(report.reloaded.count)", "cw_need_restart": "\(report.needRestart.count)",
                "cw_closed": "\(report.closed)",
            ]
        )
        return report
    }

    /// Connections looked at in one turn of the loop.
    private static let turnConnectionsMax = 128

    /// Closes those of the connections whose certificates are revoked, a few in each turn.
    private func closeRevoked(_ suspects: [ConnectionID]) async throws -> Int {
        var rest = suspects[...]
        var closed = 0
        while !rest.isEmpty {
            let some = rest.prefix(Self.turnConnectionsMax)
            rest = rest.dropFirst(some.count)
            closed += try await onDriver { driver in driver.closeRevoked(some) }
        }
        return closed
    }
}

/// What a listener is to be from now on, with its files read.
struct ListenerRenewal: Sendable {
    let listener: SiteServerConfiguration.Listener
    let security: ListenerSecurity?
    let proxyNetworks: [NetworkPrefix]

    /// Blocks on the disk: never on a loop.
    init(_ listener: SiteServerConfiguration.Listener) throws(SiteServerError) {
        self.listener = listener
        proxyNetworks = try ListenerSocket.proxyNetworks(listener)
        security = try listener.tls.map { tls throws(SiteServerError) in
            try TLSContextFactory.security(tls, listener: listener.name)
        }
    }
}

extension SiteServerConfiguration.Listener {
    /// Whether both are bound and spoken to in the same way, so that one can take the other's place while it is up.
    func isServed(like other: Self) -> Bool {
        func isWebSocket(_ transport: SiteServerConfiguration.Transport) -> Bool {
            if case .webSockets = transport { true } else { false }
        }
        return host == other.host && port == other.port && unixSocket == other.unixSocket
            && interface == other.interface && family == other.family && (tls == nil) == (other.tls == nil)
            && isWebSocket(transport) == isWebSocket(other.transport)
            && (proxyProtocol == nil) == (other.proxyProtocol == nil)
    }
}

extension CoreDriver {
    /// Those of the listeners whose certificate is not the one that is in force.
    func changedCertificates(_ renewals: [ListenerRenewal]) -> [ListenerReload.Certificate] {
        renewals.compactMap { renewal in
            guard let tls = renewal.listener.tls, let fingerprint = renewal.security?.fingerprint,
                let state = listeners.first(where: { $0.listener.name == renewal.listener.name }),
                state.security?.fingerprint != fingerprint
            else { return nil }
            return .init(listener: renewal.listener.name, file: tls.certificateFile, fingerprint: fingerprint)
        }
    }

    /// Puts renewed listeners in force for whoever connects from now on. Returns those who are connected with a
    /// certificate and may have to go.
    func renew(_ renewals: [ListenerRenewal], _ broker: BrokerConfiguration?) -> [ConnectionID] {
        defer {
            let policies = listeners.map { ($0.listener.name, $0.listener.policy) }
            core.reconfigure(broker ?? core.limits, policies: Dictionary(policies) { first, _ in first })
            for connection in table.all { connection.limitsChanged() }
        }
        var suspects: [ConnectionID] = []
        for renewal in renewals {
            let isChecked = renewal.security?.revocation != nil && renewal.listener.tls?.closesRevoked == true
            for state in listeners where state.listener.name == renewal.listener.name {
                state.listener = renewal.listener
                state.security = renewal.security
                state.proxyNetworks = renewal.proxyNetworks
                guard isChecked else { continue }
                suspects += table.all.filter { $0.state === state }.map(\.id)
            }
        }
        return suspects
    }

    /// Closes those whose certificates are revoked; how many.
    func closeRevoked(_ suspects: some Sequence<ConnectionID>) -> Int {
        var closed = 0
        for id in suspects {
            guard let connection = table.connection(id), let why = connection.revocation else { continue }
            closed += 1
            counters.certificatesRevoked.add()
            let metadata = connection.logMetadata(["cw_reason": "\(why)"])
            logPeer(.warning, "A connection was closed for its certificate", metadata, now: .now())
            guard connection.phase != .opening else {
                connection.cut()
                continue
            }
            turn { core, now, effects in
                let error = MQTTError(.notAuthorized, "section 4.13.2", "the client's certificate is revoked")
                core.violated(id, error: error, now: now, effects: &effects)
            }
        }
        return closed
    }
}

extension ClientConnection {
    /// Why its certificate does not count any more; nil if it does, or if there is none.
    var revocation: String? {
        guard let context, let check = state.security?.revocation,
            let certificate = try? context.pipeline.syncOperations.nioSSL_peerCertificate()
        else { return nil }
        return check.revocation(of: certificate)
    }
}
