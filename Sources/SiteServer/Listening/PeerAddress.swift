internal import Glibc
internal import NIOCore

/// A peer's IP address as text: what logs show and what the limit per address counts by.
enum PeerAddress {
    /// What stands for the other end of a Unix socket or a socket pair.
    static let local = "local"

    /// The address without its port; an IPv4 address that came by an IPv6 socket in its IPv4 form.
    static func text(_ address: SocketAddress?) -> String {
        guard let text = address?.ipAddress else { return local }
        return unmapped(text)
    }

    /// An IPv4 address in its own form, where it is written as one of IPv6.
    static func unmapped(_ text: String) -> String {
        let mapped = "::ffff:"
        return text.hasPrefix(mapped) && text.contains(".") ? String(text.dropFirst(mapped.count)) : text
    }

    /// What the limits per address count by: an IPv4 address, or the /64 of an IPv6 address, since one host has as many
    /// addresses there as it likes.
    static func key(_ text: String) -> String {
        guard text.contains(":"), let bytes = NetworkPrefix.bytes(text), bytes.count == 16 else { return text }
        return bytes[..<8].map { String($0, radix: 16) }.joined(separator: ".") + "/64"
    }

    /// Whether the address can only be reached from this machine.
    static func isLoopback(_ address: SocketAddress) -> Bool {
        if case .unixDomainSocket = address { return true }
        let text = text(address)
        return text == "::1" || (text.hasPrefix("127.") && address.ipAddress != nil)
    }
}

/// A network in the notation `10.0.0.0/8`; an address alone is a network of one.
struct NetworkPrefix: Sendable, Hashable {
    private let bytes: [UInt8]
    private let bits: Int

    /// Nil if the text is none.
    init?(_ text: String) {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count <= 2, let address = parts.first, let bytes = Self.bytes(String(address)) else { return nil }
        self.bytes = bytes
        guard parts.count == 2 else {
            bits = bytes.count * 8
            return
        }
        guard let bits = Int(parts[1]), (0...bytes.count * 8).contains(bits), parts[1].allSatisfy(\.isNumber) else {
            return nil
        }
        self.bits = bits
    }

    /// Whether an address is in it. An address of the other family is not.
    func contains(_ address: String) -> Bool {
        guard let other = Self.bytes(PeerAddress.unmapped(address)), other.count == bytes.count else { return false }
        for index in 0..<(bits / 8) where bytes[index] != other[index] { return false }
        let rest = bits % 8
        guard rest > 0 else { return true }
        let mask = UInt8.max << UInt8(8 - rest)
        return bytes[bits / 8] & mask == other[bits / 8] & mask
    }

    /// The four or sixteen bytes of an address.
    static func bytes(_ text: String) -> [UInt8]? {
        // To C a text ends at U+0000: what stands behind it would come along unread.
        guard !text.utf8.contains(0) else { return nil }
        var bytes = [UInt8](repeating: 0, count: 16)
        if inet_pton(AF_INET, text, &bytes) == 1 { return Array(bytes[..<4]) }
        return inet_pton(AF_INET6, text, &bytes) == 1 ? bytes : nil
    }
}
