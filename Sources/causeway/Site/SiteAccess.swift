import Access
import Broker
import CausewayConfiguration
import SiteServer
import Synchronization

/// Who may enter a site and do what, as its configuration says now. A changed configuration is read as a whole before
/// any of it counts.
final class SiteAccess: Sendable {
    /// What a configuration says, read and checked.
    struct Reading: Sendable {
        fileprivate var door: SiteDoor
        fileprivate var policies: [String?: PolicyParts] = [:]
        fileprivate var passwords: [String: PasswordFile] = [:]
        fileprivate var usersOf: [String?: UsersParts] = [:]
        fileprivate var dynamicSecurity: [String: DynamicSecurity] = [:]
        /// By the name of the listener.
        fileprivate var allowsAnonymous: [String: Bool]
        /// Lockouts at doors that there are no more.
        fileprivate var lockoutsBefore: UInt64 = 0

        /// Password hashes worked out for the readings before.
        fileprivate var hashesBefore: UInt64 = 0

        fileprivate var hashes: UInt64 { usersOf.values.reduce(hashesBefore) { $0 &+ $1.passwords.hashes } }
        fileprivate var lockouts: UInt64 { usersOf.values.reduce(lockoutsBefore) { $0 &+ $1.passwords.lockouts } }
    }

    /// The sources of a policy; dynamic security changes while it runs, so its place is kept by its file.
    fileprivate struct PolicyParts: Sendable {
        var fixed: [any AccessSource]
        var dynamicSecurityFile: String?
    }

    /// The places of users of a listener.
    fileprivate struct UsersParts: Sendable {
        var passwords: PasswordFileAuthenticator
        var file: PasswordFile?
        var dynamicSecurityFile: String?
    }

    /// Whose every client is a listener's own; nil stands for those without.
    private typealias Scope = String?

    /// Decides on each question; for the core.
    let authorizer: PolicyBox
    /// Closed while rules are read again.
    let gate = ReloadGate()
    private let state: Mutex<Reading>
    private let attached = Mutex<Attached?>(nil)

    /// Who hears of changes.
    private struct Attached {
        weak var server: SiteServer?
        let audit: (any AuditSink)?
    }

    /// Reads what a configuration names.
    convenience init(_ configuration: SiteConfiguration) async throws {
        self.init(try await Self.read(configuration))
    }

    private init(_ reading: Reading) {
        authorizer = PolicyBox(Self.policies(of: reading))
        state = Mutex(reading)
    }

    /// How often a user was locked out at an address since the start.
    var lockouts: UInt64 { state.withLock { $0.lockouts } }

    /// Password hashes worked out since the start.
    var passwordHashes: UInt64 { state.withLock { $0.hashes } }

    /// Performs administrators' commands where dynamic security is configured.
    var controlPlane: (any ControlPlane)? {
        state.withLock { $0.dynamicSecurity.min { $0.key < $1.key }?.value }
    }

    /// Tells the server of every change that administrators make, and the auditor of what they did and of lockouts.
    func attach(_ server: SiteServer, audit: (any AuditSink)?) {
        attached.withLock { $0 = Attached(server: server, audit: audit) }
        observe(state.withLock { $0 })
    }

    private func observe(_ reading: Reading) {
        guard let attached = attached.withLock({ $0 }) else { return }
        let audit = attached.audit
        for parts in reading.usersOf.values { parts.passwords.observeLockouts { audit?.record($0) } }
        let observer = DynamicSecurity.Observer(
            changed: { [weak self, weak server = attached.server] change in
                self?.refresh()
                server?.accessChanged(change)
            },
            audit: { audit?.record($0) }
        )
        for dynamicSecurity in reading.dynamicSecurity.values { dynamicSecurity.observe(observer) }
    }

    /// Puts what dynamic security says now in place of what it said.
    private func refresh() {
        let reading = state.withLock { $0 }
        for parts in reading.usersOf.values {
            guard let file = parts.dynamicSecurityFile, let dynamicSecurity = reading.dynamicSecurity[file] else {
                continue
            }
            parts.passwords.replace(Self.users(parts.file, dynamicSecurity))
        }
        authorizer.replace(Self.policies(of: reading))
    }

    /// Puts another reading in force. The caller tells the server of the change that is returned.
    func adopt(_ reading: Reading) throws -> AccessChange {
        let old = state.withLock { $0 }
        var reading = reading
        var change = AccessChange()
        change.revokesAnonymous =
            old.allowsAnonymous.values.contains(true) && !reading.allowsAnonymous.values.contains(true)
        for (path, file) in old.passwords {
            // A file that is no longer named lets nobody in any more.
            let other = try reading.passwords[path] ?? PasswordFile(text: "", path: path, allowsEmpty: true)
            change.formUnion(file.change(to: other))
        }
        for (path, running) in old.dynamicSecurity where reading.dynamicSecurity[path] != nil {
            // The one that runs keeps its observer and its thread.
            change.formUnion(try running.reload())
            reading.dynamicSecurity[path] = running
        }
        reading.hashesBefore = old.hashes
        reading.lockoutsBefore = old.lockoutsBefore
        for (scope, parts) in old.usersOf {
            // Whoever is locked out stays so, whatever the files say now.
            if let successor = reading.usersOf[scope] {
                successor.passwords.keepLockouts(of: parts.passwords)
            } else {
                reading.lockoutsBefore &+= parts.passwords.lockouts
            }
        }
        observe(reading)
        state.withLock { $0 = reading }
        refresh()
        return change
    }

    // MARK: - Reading

    /// Reads what a configuration names, and changes nothing.
    static func read(_ configuration: SiteConfiguration) async throws -> Reading {
        let levelsMax = configuration.limits.maxTopicLevels
        let scopes: [(scope: Scope, users: UsersConfiguration?, access: AccessConfiguration?)] =
            [(nil, configuration.users, configuration.access)]
            + configuration.listeners.map { ($0.name, $0.users, $0.access) }
        var dynamicSecurity: [String: DynamicSecurity] = [:]
        for file in scopes.compactMap(\.access?.dynamicSecurityFile) where dynamicSecurity[file] == nil {
            let isMosquitto = configuration.compatibility == .mosquitto
            dynamicSecurity[file] = try DynamicSecurity(path: file, kicksOnEveryChange: isMosquitto)
        }
        var policies: [String?: PolicyParts] = [:]
        var passwords: [String: PasswordFile] = [:]
        var usersOf: [String?: UsersParts] = [:]
        var doors: [String?: AuthenticationSet] = [:]
        for (scope, users, access) in scopes {
            if let access { policies[scope] = try sources(of: access, levelsMax: levelsMax, in: configuration) }
            let file = access?.dynamicSecurityFile
            guard users != nil || file != nil else { continue }
            if let path = users?.passwordFile, passwords[path] == nil {
                passwords[path] = try PasswordFile(path: path, allowsEmpty: configuration.compatibility == .mosquitto)
            }
            let passwordFile = users?.passwordFile.flatMap { passwords[$0] }
            var authenticator: PasswordFileAuthenticator?
            if passwordFile != nil || file != nil {
                let made = PasswordFileAuthenticator(
                    users: Self.users(passwordFile, file.flatMap { dynamicSecurity[$0] }),
                    limits: AuthenticationLimits(users?.lockout)
                )
                usersOf[scope] = UsersParts(passwords: made, file: passwordFile, dynamicSecurityFile: file)
                authenticator = made
            }
            var tokens: TokenVerifier?
            if let settings = users?.tokens { tokens = try await TokenVerifier(options: TokenOptions(settings)) }
            doors[scope] = AuthenticationSet(
                passwords: authenticator,
                tokens: tokens,
                offersScram: users?.offersScram ?? false
            )
        }
        return Reading(
            door: SiteDoor(configuration, doors: doors),
            policies: policies,
            passwords: passwords,
            usersOf: usersOf,
            dynamicSecurity: dynamicSecurity,
            allowsAnonymous: Dictionary(configuration.listeners.map { ($0.name, $0.allowAnonymous) }) { $0 || $1 }
        )
    }

    private static func users(
        _ file: PasswordFile?,
        _ dynamicSecurity: DynamicSecurity?
    ) -> any PasswordUsers {
        let places: [(any PasswordUsers)?] = [file, dynamicSecurity?.users]
        return PasswordUsersList(places.compactMap { $0 })
    }

    private static func sources(
        of access: AccessConfiguration,
        levelsMax: Int,
        in configuration: SiteConfiguration
    ) throws -> PolicyParts {
        var sources: [any AccessSource] = []
        if let rules = access.rules {
            sources.append(try RuleSet(rules: rules.map { RuleSet.Rule($0) }, levelsMax: levelsMax))
        }
        if !access.users.isEmpty {
            sources.append(
                try RoleSet(
                    roles: access.roles.map { RoleSet.Role($0) },
                    groups: access.groups.map { RoleSet.Group(name: $0.name, roles: $0.roles) },
                    users: access.users.map {
                        RoleSet.User(name: $0.name, clients: $0.clients, roles: $0.roles, groups: $0.groups)
                    },
                    levelsMax: levelsMax
                )
            )
        }
        if let file = access.aclFile {
            // Mosquitto takes an empty file, which lets nobody do anything. Here it is more likely one cut short.
            sources.append(try ACLFile(path: file, allowsEmpty: configuration.compatibility == .mosquitto))
        }
        if sources.isEmpty, access.dynamicSecurityFile == nil {
            // Rules were asked for and there are none: then nobody may do anything.
            sources.append(try RuleSet(rules: [], levelsMax: levelsMax))
        }
        return PolicyParts(fixed: sources, dynamicSecurityFile: access.dynamicSecurityFile)
    }

    private static func policies(of reading: Reading) -> PolicySet {
        let policies = reading.policies.mapValues { parts in
            let dynamic = parts.dynamicSecurityFile.flatMap { reading.dynamicSecurity[$0]?.source }
            // As in Mosquitto, where plugins are asked before the ACL file.
            return AccessPolicy((dynamic.map { [$0] } ?? []) + parts.fixed)
        }
        var set = PolicySet(policies[nil] ?? .open)
        for case (let listener?, let policy) in policies { set.listeners[listener] = policy }
        return set
    }
}

extension SiteAccess: Authenticator {
    /// Asks the door that is in force, or that will be when a reload is over.
    func authenticate(
        _ request: AuthenticationRequest,
        completion: @escaping @Sendable (AuthenticationResult) -> Void
    ) {
        gate.pass { [self] in
            let (door, allowsAnonymous) = state.withLock { ($0.door, $0.allowsAnonymous[request.info.listener]) }
            var request = request
            // The connection may have come before the reload.
            request.info.allowAnonymous = allowsAnonymous ?? request.info.allowAnonymous
            door.authenticate(request, completion: completion)
        }
    }
}

extension AuthenticationLimits {
    init(_ lockout: UsersConfiguration.Lockout?) {
        self.init()
        guard let lockout else { return }
        failuresMax = lockout.failures
        failureSeconds = Int(lockout.within.wholeSeconds)
        lockSeconds = Int(lockout.duration.wholeSeconds)
    }
}

extension TokenOptions {
    init(_ tokens: UsersConfiguration.Tokens) {
        self.init(
            keyFile: tokens.keyFile,
            issuer: tokens.issuer,
            audience: tokens.audience,
            usernameClaim: tokens.usernameClaim,
            leewaySeconds: Int(tokens.leeway.wholeSeconds),
            algorithms: Set(tokens.algorithms.map(\.rawValue))
        )
    }
}

extension RuleSet.Rule {
    init(_ rule: AccessRule) {
        self.init(
            users: rule.users,
            clients: rule.clients,
            publish: rule.publish,
            subscribe: rule.subscribe,
            receive: rule.receive.isEmpty ? nil : rule.receive
        )
    }
}

extension RoleSet.Role {
    init(_ role: AccessConfiguration.Role) {
        self.init(
            name: role.name,
            priority: role.priority,
            allow: RoleSet.Grants(role.allow),
            deny: RoleSet.Grants(role.deny)
        )
    }
}

extension RoleSet.Grants {
    init(_ grants: AccessConfiguration.Grants) {
        self.init(publish: grants.publish, subscribe: grants.subscribe, receive: grants.receive)
    }
}
