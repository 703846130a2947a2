internal import Glibc
internal import NIOCore

/// Which addresses a listener binds, as Mosquitto does: all of a name, those of an interface, or those of the whole
/// machine in both families. A socket of IPv6 takes IPv6 alone, so that both families can share a port.
enum ListenerAddresses {
    static let version6Only = ChannelOptions.Types.SocketOption(
        level: .init(IPPROTO_IPV6),
        name: .init(IPV6_V6ONLY)
    )

    /// What an error message calls it.
    static func text(_ listener: SiteServerConfiguration.Listener) -> String {
        if let socket = listener.unixSocket { return socket.path }
        if let interface = listener.interface { return "\(interface):\(listener.port)" }
        return "\(listener.host.isEmpty ? "*" : listener.host):\(listener.port)"
    }

    /// Blocks on the resolver: never on a loop.
    static func resolve(_ listener: SiteServerConfiguration.Listener) throws(SiteServerError) -> [SocketAddress] {
        do {
            let addresses: [SocketAddress]
            if let socket = listener.unixSocket {
                return [try SocketAddress(unixDomainSocketPath: socket.path)]
            } else if let interface = listener.interface {
                addresses = try System.enumerateDevices().filter { $0.name == interface }.compactMap(\.address)
                    .compactMap { try withPort($0, listener.port) }
            } else if listener.host.isEmpty {
                addresses = try ["0.0.0.0", "::"].map { try SocketAddress(ipAddress: $0, port: listener.port) }
            } else {
                addresses = try lookUp(listener.host, port: listener.port)
            }
            let bound = addresses.filter { isWanted($0, listener.family) }
            guard !bound.isEmpty else { throw NoAddress() }
            return bound
        } catch {
            throw SiteServerError(
                .bind,
                "Listener \(listener.name): \(text(listener)) is not an address of this machine",
                cause: error
            )
        }
    }

    private struct NoAddress: Error, CustomStringConvertible {
        var description: String { "there is no such address" }
    }

    private static func isWanted(
        _ address: SocketAddress,
        _ family: SiteServerConfiguration.AddressFamily
    ) -> Bool {
        switch family {
        case .any: true
        case .ipv4: address.protocol == .inet
        case .ipv6: address.protocol == .inet6
        }
    }

    /// The address of an interface with our port. Addresses of one link would need the link's number as well; they are
    /// left out.
    private static func withPort(_ address: SocketAddress, _ port: Int) throws -> SocketAddress? {
        guard let text = address.ipAddress, !text.hasPrefix("fe80") else { return nil }
        return try SocketAddress(ipAddress: text, port: port)
    }

    /// All addresses of a name, each once.
    private static func lookUp(_ host: String, port: Int) throws -> [SocketAddress] {
        if let address = try? SocketAddress(ipAddress: host, port: port) { return [address] }
        var hints = addrinfo()
        hints.ai_socktype = CInt(SOCK_STREAM.rawValue)
        hints.ai_flags = AI_PASSIVE
        var first: UnsafeMutablePointer<addrinfo>?
        guard getaddrinfo(host, nil, &hints, &first) == 0 else { throw NoAddress() }
        defer { freeaddrinfo(first) }
        var addresses: [SocketAddress] = []
        var next = first
        while let info = next?.pointee {
            var text = [CChar](repeating: 0, count: Int(NI_MAXHOST))
            let result = getnameinfo(
                info.ai_addr,
                info.ai_addrlen,
                &text,
                socklen_t(text.count),
                nil,
                0,
                NI_NUMERICHOST
            )
            if result == 0 {
                let numeric = String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
                let address = try SocketAddress(ipAddress: numeric, port: port)
                if !addresses.contains(address) { addresses.append(address) }
            }
            next = info.ai_next
        }
        return addresses
    }
}
