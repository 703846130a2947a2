/// A host and a port, written `127.0.0.1:1883`, `[::1]:1883` or `localhost:8080`.
public struct NetworkAddress: Sendable, Hashable, CustomStringConvertible {
    /// The host: a name or an IP address, without brackets.
    public var host: String
    /// The port. 0 asks the system for a free one, where a listener is meant.
    public var port: Int

    /// Makes an address.
    public init(host: String, port: Int) {
        self.host = host
        self.port = port
    }

    /// True if only this machine can reach it: `localhost`, 127.0.0.0/8 or `::1`.
    public var isLoopback: Bool {
        if host == "localhost" || host == "::1" || host == "0:0:0:0:0:0:0:1" { return true }
        guard let octets = IPAddress.octets(ofIPv4: host) else { return false }
        return octets.first == 127
    }

    /// The written form, with brackets around an IPv6 address.
    public var description: String {
        if host.isEmpty { return "*:\(port)" }
        return host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
    }
}

/// Where a broker is found: `mqtts://host:8883`, or `mqtt://host:1883` without TLS.
public struct BrokerAddress: Sendable, Hashable, CustomStringConvertible {
    /// Host and port. The port defaults to 8883 for `mqtts` and 1883 for `mqtt`.
    public var network: NetworkAddress
    /// True for `mqtts`.
    public var usesTLS: Bool

    /// The host.
    public var host: String { network.host }
    /// The port.
    public var port: Int { network.port }

    /// Makes an address.
    public init(network: NetworkAddress, usesTLS: Bool) {
        self.network = network
        self.usesTLS = usesTLS
    }

    /// The URL.
    public var description: String { "\(usesTLS ? "mqtts" : "mqtt")://\(network)" }
}

/// Just enough about the written forms of IP addresses to tell loopback from the rest.
enum IPAddress {
    /// The four numbers of a dotted IPv4 address, or nil.
    static func octets(ofIPv4 text: String) -> [UInt8]? {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 4 else { return nil }
        let octets = parts.compactMap { part in
            part.count <= 3 && part.allSatisfy(\.isASCIIDigit) ? UInt8(part) : nil
        }
        return octets.count == 4 ? octets : nil
    }

    /// Whether a text looks like an IPv6 address: hexadecimal groups and colons, perhaps a zone or a dotted tail.
    static func isIPv6(_ text: String) -> Bool {
        let address = text.split(separator: "%", maxSplits: 1, omittingEmptySubsequences: false).first ?? ""
        guard address.contains(":"), address.count >= 2, !address.contains(":::") else { return false }
        guard address.allSatisfy({ $0.isHexDigit || $0 == ":" || $0 == "." }) else { return false }
        let groups = address.split(separator: ":")
        guard groups.count <= 8, groups.allSatisfy({ $0.count <= 4 || $0.contains(".") }) else { return false }
        return address.contains("::") || groups.count == 8 || (groups.count == 7 && address.contains("."))
    }

    /// Whether a text is an IP address, or one with the length of a prefix: `10.0.0.0/8`, `::1`.
    static func isNetwork(_ text: String) -> Bool {
        let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        let address = String(parts[0])
        let isV4 = octets(ofIPv4: address) != nil
        guard isV4 || (isIPv6(address) && !address.contains("%")) else { return false }
        guard parts.count == 2 else { return true }
        return Int(parts[1]).map { (0...(isV4 ? 32 : 128)).contains($0) } ?? false
    }

    /// Whether a text is a host name by RFC 1123, or an IPv4 address.
    static func isHostName(_ text: String) -> Bool {
        guard !text.isEmpty, text.utf8.count <= 253 else { return false }
        let labels = text.split(separator: ".", omittingEmptySubsequences: false)
        let isNumeric = labels.allSatisfy { !$0.isEmpty && $0.allSatisfy(\.isASCIIDigit) }
        if isNumeric { return octets(ofIPv4: text) != nil }
        return labels.allSatisfy { label in
            !label.isEmpty && label.utf8.count <= 63 && label.first != "-" && label.last != "-"
                && label.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "-" || $0 == "_") }
        }
    }
}

extension Character {
    /// True for 0 to 9 only, unlike `isNumber`, which takes every script's digits and fractions.
    var isASCIIDigit: Bool { ("0"..."9").contains(self) && isASCII }
}
