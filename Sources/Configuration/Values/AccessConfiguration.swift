/// Where the user names and passwords are: `users:`.
public struct UsersConfiguration: Sendable, Hashable {
    /// Tokens that are taken as passwords: `jwt:`.
    public struct Tokens: Sendable, Hashable {
        /// `jwks_file`: the issuer's public keys.
        public var keyFile: String
        /// `issuer`: what `iss` must be. Nil: anything.
        public var issuer: String?
        /// `audience`: what `aud` must hold. Nil: anything.
        public var audience: String?
        /// `username_claim`: the claim that holds the user name. Default `sub`.
        public var usernameClaim = "sub"
        /// `leeway`: how far the issuer's clock may be from ours. Default 30 s.
        public var leeway = Duration.seconds(30)
        /// `algorithms` that a token may be signed with. Default RS256, PS256, ES256 and EdDSA.
        public var algorithms: Set<Algorithm> = [.rs256, .ps256, .es256, .edDSA]
    }

    /// How a token may be signed; never with a shared secret.
    public enum Algorithm: String, Sendable, Hashable, CaseIterable {
        /// RSA, PKCS#1, SHA-256.
        case rs256 = "RS256"
        /// RSA, PKCS#1, SHA-384.
        case rs384 = "RS384"
        /// RSA, PKCS#1, SHA-512.
        case rs512 = "RS512"
        /// RSA, PSS, SHA-256.
        case ps256 = "PS256"
        /// RSA, PSS, SHA-384.
        case ps384 = "PS384"
        /// RSA, PSS, SHA-512.
        case ps512 = "PS512"
        /// ECDSA on P-256.
        case es256 = "ES256"
        /// ECDSA on P-384.
        case es384 = "ES384"
        /// ECDSA on P-521.
        case es512 = "ES512"
        /// Ed25519.
        case edDSA = "EdDSA"
    }

    /// When a user who keeps failing is locked out, by user and address: `lockout:`.
    public struct Lockout: Sendable, Hashable {
        /// `failures`. Default 10.
        public var failures = 10
        /// `within`: the time they count for. Default 15 min.
        public var within = Duration.seconds(900)
        /// `duration` of the lock. Default 5 min.
        public var duration = Duration.seconds(300)

        /// The defaults.
        public init() {}
    }

    /// `password_file`: in the format of mosquitto_passwd.
    public var passwordFile: String?
    /// `jwt`: nil: tokens are not taken.
    public var tokens: Tokens?
    /// `scram`: whether users whose hash is of that kind may authenticate by SCRAM-SHA-256. Default false.
    public var offersScram = false
    /// `lockout`.
    public var lockout = Lockout()

    /// Nobody is known.
    public init(passwordFile: String? = nil) {
        self.passwordFile = passwordFile
    }
}

/// Who may do what: `access:`. Dynamic security is asked first, then the other parts in the order they stand here, and
/// the first rule that matches decides; what none allows is denied.
public struct AccessConfiguration: Sendable, Hashable {
    /// Topic filters for each kind of question.
    public struct Grants: Sendable, Hashable {
        /// `publish`.
        public var publish: [String] = []
        /// `subscribe`: a subscription must lie within one of them.
        public var subscribe: [String] = []
        /// `receive`. Nil: the filters of `subscribe`.
        public var receive: [String]?

        /// Nothing.
        public init() {}
    }

    /// What some job needs: an entry of `roles:`.
    public struct Role: Sendable, Hashable {
        /// `name`.
        public var name: String
        /// `priority`: the higher one is asked first. Default 0.
        public var priority = 0
        /// `allow`.
        public var allow = Grants()
        /// `deny`, before what is allowed.
        public var deny = Grants()
        /// Where it stands in the file.
        public var position: SourcePosition
    }

    /// Roles under one name: an entry of `groups:`.
    public struct Group: Sendable, Hashable {
        /// `name`.
        public var name: String
        /// `roles`.
        public var roles: [String]
        /// Where it stands in the file.
        public var position: SourcePosition
    }

    /// Which clients have which roles: an entry of `users:` below `access:`.
    public struct User: Sendable, Hashable {
        /// `name`: `*` stands for any run of characters, `{word}` for one that the roles' filters may use.
        public var name: String
        /// `clients`: client identifiers, with `*`. Default: any.
        public var clients: [String] = ["*"]
        /// `roles`.
        public var roles: [String] = []
        /// `groups`.
        public var groups: [String] = []
        /// Where it stands in the file.
        public var position: SourcePosition
    }

    /// The rules: a list, or `rules:` beside the other parts. Nil: none are given.
    public var rules: [AccessRule]?
    /// `roles`, `groups` and `users`.
    public var roles: [Role] = []
    /// `groups`.
    public var groups: [Group] = []
    /// `users`.
    public var users: [User] = []
    /// `acl_file`: in Mosquitto's format.
    public var aclFile: String?
    /// `dynamic_security`: the state of Mosquitto's plugin of that name, administered by `mosquitto_ctrl dynsec`.
    public var dynamicSecurityFile: String?

    /// Nothing is said.
    public init(rules: [AccessRule]? = nil, aclFile: String? = nil, dynamicSecurityFile: String? = nil) {
        self.rules = rules
        self.aclFile = aclFile
        self.dynamicSecurityFile = dynamicSecurityFile
    }
}

/// The audit log: `audit:`.
public struct AuditSettings: Sendable, Hashable {
    /// When records are forced to the disk.
    public enum Sync: String, Sendable, Hashable, CaseIterable {
        /// After each batch. The default.
        case always
        /// When the system finds time.
        case system
    }

    /// What happens when the disk refuses a record.
    public enum FailurePolicy: String, Sendable, Hashable, CaseIterable {
        /// The site works on; what could not be kept is counted. The default.
        case `continue`
        /// The site stops: what cannot be audited must not happen.
        case stop
    }

    /// `path`: the folder. Default `audit`, beside the configuration file.
    public var path: String
    /// `key_file`: the key of the hashes, kept elsewhere. Nil: plain SHA-256.
    public var keyFile: String?
    /// `max_file_bytes`: then the next file is begun. Default 64 MiB.
    public var maxFileBytes = 64 << 20
    /// `max_file_age`: the same. Default 24 h.
    public var maxFileAge = Duration.seconds(86_400)
    /// `keep`: how long a file is kept after its last record. Nil: for ever.
    public var keep: Duration?
    /// `sync`.
    public var sync = Sync.always
    /// `on_failure`.
    public var onFailure = FailurePolicy.continue

    /// The defaults.
    public init(path: String) {
        self.path = path
    }
}

/// What is read again while the site runs: `reload:`. SIGHUP does it always.
public struct ReloadConfiguration: Sendable, Hashable {
    /// `watch`: whether files that change are read again by themselves. Default false.
    public var watchesFiles = false

    /// The defaults.
    public init() {}
}
