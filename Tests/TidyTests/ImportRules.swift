/// The arrows between targets: which module each target under `Sources/` may import.
///
/// The table is the design's, not the manifest's: a new arrow is added here, in `Package.swift` and in an ADR.
enum ImportRules {
    /// Locks and system calls, on the systems we run on.
    private static let system: Set<String> = ["Glibc", "Musl", "Synchronization"]

    static let allowed: [String: Set<String>] = [
        // C modules hold headers only.
        "CMosquitto": [],
        "COpenSSL": [],
        "CCRC32C": [],
        "CLinux": [],
        "CMosquittoGuard": [],
        // Pure: bytes in, values out. NIOCore is there for ByteBuffer alone.
        "MQTT": ["NIOCore"],
        // Sans-IO: no clock, no socket, no file.
        "Broker": ["MQTT", "NIOCore", "DequeModule"],
        "HandlerKit": [],
        // I/O.
        "Audit": ["Glibc", "Crypto"],
        "Journal": system.union(["CCRC32C", "Crypto"]),
        "SiteServer": system.union([
            "Foundation", "Broker", "Journal", "MQTT", "NIOCore", "NIOPosix", "NIOSSL", "NIOTLS", "Logging", "Crypto",
            "CryptoExtras", "X509", "SwiftASN1",
        ]),
        "Access": system.union([
            "Dispatch", "Foundation", "Broker", "MQTT", "NIOCore", "NIOPosix", "Crypto", "CryptoExtras", "JWTKit",
        ]),
        "MosquittoClient": system.union(["CMosquitto", "CMosquittoGuard", "COpenSSL"]),
        "HandlerRuntime": system.union([
            "Foundation", "HandlerKit", "Broker", "Journal", "MQTT", "NIOCore", "Logging",
        ]),
        // Product.
        "SiteHandlers": ["Foundation", "HandlerKit", "Crypto"],
        "Bridge": system.union(["MosquittoClient", "Journal", "Broker", "MQTT", "NIOCore", "Crypto"]),
        "Cloud": system.union(["Dispatch", "Foundation", "MosquittoClient", "GRDB", "Logging"]),
        "Console": ["Hummingbird", "HummingbirdCore", "ServiceLifecycle", "Logging", "NIOCore", "NIOPosix"],
        // The module is called CausewayConfiguration: a package below Hummingbird took the shorter name.
        "Configuration": ["Glibc", "Yams"],
        "Bench": ["Glibc", "MQTT", "NIOCore", "NIOPosix", "NIOSSL", "Histogram"],
        "CertificateAuthority": ["Foundation", "Glibc", "X509", "SwiftASN1", "Crypto"],
        // The only place that wires concrete types.
        "causeway": system.union([
            "CoreFoundation", "Dispatch", "Foundation", "MQTT", "Broker", "HandlerKit", "Journal", "Access",
            "SiteServer", "MosquittoClient",
            "HandlerRuntime", "SiteHandlers", "Bridge", "Cloud", "Console", "CausewayConfiguration",
            "Audit", "Bench", "CLinux", "CertificateAuthority", "ArgumentParser", "Crypto", "Logging", "NIOCore",
            "NIOPosix", "NIOSSL",
        ]),
    ]

    /// C libraries have one owner each, whatever the table says.
    static let owners = [
        "CMosquitto": "MosquittoClient", "CMosquittoGuard": "MosquittoClient", "COpenSSL": "MosquittoClient",
        "CCRC32C": "Journal", "CLinux": "causeway",
    ]

    /// Single files that may import one module more, each with its reason.
    static let exceptions: [String: (module: String, reason: String)] = [
        "Sources/MQTT/Topics/TopicName+Hashing.swift": ("Glibc", "memcmp, for each message"),
        "Sources/Broker/SystemTree+Load.swift": ("Glibc", "exp, for the load averages"),
    ]

    /// The modules a file imports, with their line numbers.
    static func imports(of file: SourceFile) -> [(module: String, line: Int)] {
        let kinds: Set<Substring> = ["struct", "class", "enum", "protocol", "func", "let", "var", "typealias"]
        let modifiers: Set<Substring> = ["public", "package", "internal", "fileprivate", "private"]
        var found: [(module: String, line: Int)] = []
        for (index, line) in SwiftText(file.text).code.enumerated() {
            var words = line.split(separator: " ").drop { modifiers.contains($0) || $0.hasPrefix("@") }
            guard words.popFirst() == "import" else { continue }
            if let kind = words.first, kinds.contains(kind) { words.removeFirst() }
            guard let module = words.first?.split(separator: ".").first else { continue }
            found.append((String(module), index + 1))
        }
        return found
    }

    static func findings(in file: SourceFile) -> [Finding] {
        guard let target = file.target else { return [] }
        guard let modules = allowed[target] else {
            return [Finding(path: file.path, line: 1, message: "target \(target) has no row in ImportRules")]
        }
        return imports(of: file).compactMap { module, line in
            if let owner = owners[module], owner != target {
                return Finding(path: file.path, line: line, message: "\(module) belongs to \(owner) alone")
            }
            guard !modules.contains(module), exceptions[file.path]?.module != module else { return nil }
            return Finding(path: file.path, line: line, message: "\(target) may not import \(module)")
        }
    }
}
