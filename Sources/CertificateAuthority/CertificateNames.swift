internal import Glibc
internal import SwiftASN1
internal import X509

/// Which names may stand in a certificate.
enum CertificateNames {
    /// The longest common name (RFC 5280, ub-common-name).
    static let commonNameMax = 64
    /// The most hosts of one certificate.
    static let hostsMax = 100

    /// Checks the name of a device, client or authority. A device's name becomes its user name and, through `%u`, part
    /// of topic filters, so what means something there is refused.
    static func check(commonName: String) throws(CertificateAuthorityError) {
        guard !commonName.isEmpty, commonName.unicodeScalars.count <= commonNameMax else {
            throw CertificateAuthorityError(.invalidName, "a name has 1 to \(commonNameMax) characters")
        }
        let isPlain = commonName.unicodeScalars.allSatisfy {
            $0.value >= 0x20 && $0.value != 0x7F && !("+#/%".unicodeScalars.contains($0))
        }
        guard isPlain, commonName.first != " ", commonName.last != " " else {
            throw CertificateAuthorityError(
                .invalidName,
                "'\(commonName)' cannot be a name: it holds a control character, a space at an end, or one of + # / %"
            )
        }
    }

    /// The subject alternative name for a host: an IP address, a DNS name, or a DNS name that begins with `*.`.
    static func generalName(host: String) throws(CertificateAuthorityError) -> GeneralName {
        if let address = addressBytes(host) { return .ipAddress(ASN1OctetString(contentBytes: address[...])) }
        let name = host.lowercased()
        guard isDNSName(name.hasPrefix("*.") ? String(name.dropFirst(2)) : name) else {
            throw CertificateAuthorityError(.invalidName, "'\(host)' is neither a host name nor an IP address")
        }
        return .dnsName(name)
    }

    /// The bytes of an IPv4 or IPv6 address, or nil.
    static func addressBytes(_ text: String) -> [UInt8]? {
        var bytes4 = [UInt8](repeating: 0, count: 4)
        if inet_pton(AF_INET, text, &bytes4) == 1 { return bytes4 }
        var bytes6 = [UInt8](repeating: 0, count: 16)
        if inet_pton(AF_INET6, text, &bytes6) == 1 { return bytes6 }
        return nil
    }

    /// The written form of an address of 4 or 16 bytes.
    static func address(_ bytes: ArraySlice<UInt8>) -> String? {
        let family = bytes.count == 4 ? AF_INET : AF_INET6
        guard bytes.count == 4 || bytes.count == 16 else { return nil }
        let input = Array(bytes)
        var output = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
        guard inet_ntop(family, input, &output, socklen_t(output.count)) != nil else { return nil }
        return String(decoding: output.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// Whether a text is a DNS name by RFC 1123.
    static func isDNSName(_ text: String) -> Bool {
        guard !text.isEmpty, text.utf8.count <= 253 else { return false }
        let labels = text.split(separator: ".", omittingEmptySubsequences: false)
        guard let last = labels.last, !last.allSatisfy({ ("0"..."9").contains($0) }) else { return false }
        return labels.allSatisfy { label in
            !label.isEmpty && label.utf8.count <= 63 && label.first != "-" && label.last != "-"
                && label.utf8.allSatisfy { byte in
                    (0x30...0x39).contains(byte) || (0x61...0x7A).contains(byte) || (0x41...0x5A).contains(byte)
                        || byte == UInt8(ascii: "-") || byte == UInt8(ascii: "_")
                }
        }
    }
}

/// What an authority with domains may sign for: those domains, `localhost`, and addresses of private networks.
enum PermittedNames {
    /// Address and mask, as RFC 5280 section 4.2.1.10 writes them: 127/8, 10/8, 172.16/12, 192.168/16, 169.254/16,
    /// `::1`, fc00::/7, fe80::/10.
    private static let addressRanges: [[UInt8]] = [
        [127, 0, 0, 0, 255, 0, 0, 0],
        [10, 0, 0, 0, 255, 0, 0, 0],
        [172, 16, 0, 0, 255, 240, 0, 0],
        [192, 168, 0, 0, 255, 255, 0, 0],
        [169, 254, 0, 0, 255, 255, 0, 0],
        [UInt8](repeating: 0, count: 15) + [1] + [UInt8](repeating: 255, count: 16),
        [0xFC] + [UInt8](repeating: 0, count: 15) + [0xFE] + [UInt8](repeating: 0, count: 15),
        [0xFE, 0x80] + [UInt8](repeating: 0, count: 14) + [0xFF, 0xC0] + [UInt8](repeating: 0, count: 14),
    ]

    static func constraints(domains: [String]) -> NameConstraints {
        NameConstraints(
            permittedDNSDomains: domains + ["localhost"],
            permittedIPRanges: addressRanges.map { ASN1OctetString(contentBytes: $0[...]) }
        )
    }

    /// Whether the constraints allow a name. What they do not mention at all is allowed, as RFC 5280 has it.
    static func allow(_ name: GeneralName, by constraints: NameConstraints) -> Bool {
        switch name {
        case .dnsName(let host):
            let domains = Array(constraints.permittedDNSDomains)
            return domains.isEmpty || domains.contains { isWithin(host, domain: $0) }
        case .ipAddress(let address):
            let ranges = Array(constraints.permittedIPRanges)
            return ranges.isEmpty || ranges.contains { isWithin(Array(address.bytes), range: Array($0.bytes)) }
        default: return true
        }
    }

    private static func isWithin(_ host: String, domain: String) -> Bool {
        let host = host.hasPrefix("*.") ? String(host.dropFirst(2)) : host
        let domain = domain.lowercased()
        return host == domain || host.hasSuffix("." + domain) || (domain.hasPrefix(".") && host.hasSuffix(domain))
    }

    private static func isWithin(_ address: [UInt8], range: [UInt8]) -> Bool {
        guard range.count == 2 * address.count else { return false }
        return address.indices.allSatisfy { index in
            let mask = range[address.count + index]
            return address[index] & mask == range[index] & mask
        }
    }
}
