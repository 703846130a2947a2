internal import NIOCore

/// A peer's IP address as text: what logs show and what the limit per address counts by.
enum PeerAddress {
    /// The address without its port; an IPv4 address that came by an IPv6 socket in its IPv4 form.
    static func text(_ address: SocketAddress?) -> String {
        guard let text = address?.ipAddress else { return "unknown" }
        let mapped = "::ffff:"
        return text.hasPrefix(mapped) && text.contains(".") ? String(text.dropFirst(mapped.count)) : text
    }

    /// Whether the address can only be reached from this machine.
    static func isLoopback(_ address: SocketAddress) -> Bool {
        if case .unixDomainSocket = address { return true }
        let text = text(address)
        return text == "::1" || (text.hasPrefix("127.") && address.ipAddress != nil)
    }
}
