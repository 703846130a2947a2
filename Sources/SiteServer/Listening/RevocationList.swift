internal import Foundation
internal import Glibc
internal import NIOSSL
internal import SwiftASN1
internal import X509

/// One list of revoked certificates (RFC 5280, section 5), signed by the authority that issued them.
struct RevocationList {
    /// What is wrong with a list.
    struct Failure: Error, CustomStringConvertible {
        let description: String
    }

    /// Whose certificates it speaks of.
    let issuer: DistinguishedName
    /// When the next list is due, as `yyyymmddhhmmss`; after that, this one says nothing any more. Nil: never.
    let nextUpdate: Int64?
    private let serials: Set<ArraySlice<UInt8>>

    /// Whether the certificate with this number is revoked.
    func contains(serial: some Collection<UInt8>) -> Bool { serials.contains(Self.canonical(serial)) }

    /// Revoked certificates.
    var count: Int { serials.count }

    /// Reads a list and checks that one of the authorities has signed it.
    init(derEncoded bytes: [UInt8], authorities: [Certificate]) throws {
        let root = try DER.parse(bytes)
        var content: ASN1Node?
        var algorithm: ASN1ObjectIdentifier?
        var signature: ASN1BitString?
        try DER.sequence(root, identifier: .sequence) { nodes in
            content = nodes.next()
            algorithm = try nodes.next().map(Self.algorithm)
            signature = try ASN1BitString(derEncoded: &nodes)
        }
        guard let content, let algorithm, let signature else { throw Failure(description: "it is not whole") }
        let fields = try Self.fields(content)
        guard fields.algorithm == algorithm else { throw Failure(description: "it names two ways of signing") }
        issuer = fields.issuer
        nextUpdate = fields.nextUpdate
        serials = fields.serials
        guard let kind = Self.signatureAlgorithms[algorithm] else {
            throw Failure(description: "it is signed in a way that is not taken: \(algorithm)")
        }
        let issuer = fields.issuer
        let isSigned = authorities.contains { authority in
            authority.subject == issuer && Self.maySign(authority)
                && authority.publicKey.isValidSignature(
                    Data(signature.bytes),
                    for: Data(content.encodedBytes),
                    signatureAlgorithm: kind
                )
        }
        guard isSigned else { throw Failure(description: "no authority in cafile has signed it") }
    }

    // MARK: -

    private struct Fields {
        var algorithm: ASN1ObjectIdentifier
        var issuer: DistinguishedName
        var nextUpdate: Int64?
        var serials: Set<ArraySlice<UInt8>>
    }

    private static func fields(_ content: ASN1Node) throws -> Fields {
        try DER.sequence(content, identifier: .sequence) { nodes in
            var node = nodes.next()
            if node?.identifier == .integer { node = nodes.next() }
            guard let algorithm = try node.map(Self.algorithm) else { throw Failure(description: "it is not whole") }
            guard let issuer = try nodes.next().map({ try DistinguishedName(derEncoded: $0) }) else {
                throw Failure(description: "it has no issuer")
            }
            guard nodes.next().flatMap(Self.time) != nil else { throw Failure(description: "it has no date") }
            var fields = Fields(algorithm: algorithm, issuer: issuer, nextUpdate: nil, serials: [])
            while let next = nodes.next() {
                switch next.identifier {
                case .utcTime, .generalizedTime: fields.nextUpdate = Self.time(next)
                case .sequence: fields.serials = try Self.serials(next)
                case ASN1Identifier(tagWithNumber: 0, tagClass: .contextSpecific):
                    try DER.explicitlyTagged(next, tagNumber: 0, tagClass: .contextSpecific) {
                        try Self.refuseCritical($0)
                    }
                default: throw Failure(description: "it holds what no list holds")
                }
            }
            return fields
        }
    }

    private static func serials(_ entries: ASN1Node) throws -> Set<ArraySlice<UInt8>> {
        var serials: Set<ArraySlice<UInt8>> = []
        try DER.sequence(entries, identifier: .sequence) { nodes in
            while let entry = nodes.next() {
                try DER.sequence(entry, identifier: .sequence) { parts in
                    guard let serial = parts.next(), case .primitive(let bytes) = serial.content,
                        serial.identifier == .integer
                    else { throw Failure(description: "an entry has no number") }
                    serials.insert(Self.canonical(bytes))
                    guard parts.next().flatMap(Self.time) != nil else {
                        throw Failure(description: "an entry has no date")
                    }
                    if let extensions = parts.next() { try Self.refuseCritical(extensions) }
                }
            }
        }
        return serials
    }

    /// A list that is only a part of one, or speaks for other authorities, says so in a critical extension. Taking it
    /// for a whole one would let revoked certificates in.
    private static func refuseCritical(_ extensions: ASN1Node) throws {
        try DER.sequence(extensions, identifier: .sequence) { nodes in
            while let item = nodes.next() {
                try DER.sequence(item, identifier: .sequence) { parts in
                    let name = try ASN1ObjectIdentifier(derEncoded: &parts)
                    guard let next = parts.next() else { throw Failure(description: "an extension is not whole") }
                    if next.identifier == .boolean, try Bool(derEncoded: next) {
                        throw Failure(description: "it is only a part of a list, or for other authorities (\(name))")
                    }
                    while parts.next() != nil {}
                }
            }
        }
    }

    private static func algorithm(_ node: ASN1Node) throws -> ASN1ObjectIdentifier {
        try DER.sequence(node, identifier: .sequence) { nodes in
            let identifier = try ASN1ObjectIdentifier(derEncoded: &nodes)
            while nodes.next() != nil {}
            return identifier
        }
    }

    private static func time(_ node: ASN1Node) -> Int64? {
        if let time = try? UTCTime(derEncoded: node) {
            return number([time.year, time.month, time.day, time.hours, time.minutes, time.seconds])
        }
        guard let time = try? GeneralizedTime(derEncoded: node) else { return nil }
        return number([time.year, time.month, time.day, time.hours, time.minutes, time.seconds])
    }

    /// `yyyymmddhhmmss`: it compares as the times do.
    private static func number(_ parts: [Int]) -> Int64 {
        Int64(parts[0]) * 10_000_000_000 + parts[1...].reduce(0) { $0 * 100 + Int64($1) }
    }

    /// The time now, as lists write it.
    static func now() -> Int64 {
        var seconds = Glibc.time(nil)
        var parts = tm()
        gmtime_r(&seconds, &parts)
        return number([
            Int(parts.tm_year) + 1_900, Int(parts.tm_mon) + 1, Int(parts.tm_mday), Int(parts.tm_hour),
            Int(parts.tm_min), Int(parts.tm_sec),
        ])
    }

    /// A number without the zeros before it.
    private static func canonical(_ serial: some Collection<UInt8>) -> ArraySlice<UInt8> {
        ArraySlice(Array(serial.drop { $0 == 0 }))
    }

    private static func maySign(_ authority: Certificate) -> Bool {
        guard let usage = try? authority.extensions.keyUsage else { return true }
        return usage.cRLSign
    }

    private static let signatureAlgorithms: [ASN1ObjectIdentifier: Certificate.SignatureAlgorithm] = [
        [1, 2, 840, 113_549, 1, 1, 11]: .sha256WithRSAEncryption,
        [1, 2, 840, 113_549, 1, 1, 12]: .sha384WithRSAEncryption,
        [1, 2, 840, 113_549, 1, 1, 13]: .sha512WithRSAEncryption,
        [1, 2, 840, 10_045, 4, 3, 2]: .ecdsaWithSHA256,
        [1, 2, 840, 10_045, 4, 3, 3]: .ecdsaWithSHA384,
        [1, 2, 840, 10_045, 4, 3, 4]: .ecdsaWithSHA512,
        [1, 3, 101, 112]: .ed25519,
    ]
}

/// Whether client certificates are revoked: the lists of a listener's `crlfile`.
final class RevocationCheck: Sendable {
    /// The largest file of lists.
    static let fileBytesMax = 32 << 20

    private let lists: [DistinguishedName: RevocationList]

    /// Reads the lists of a PEM file; each must be of one of the authorities.
    init(path: String, authorities: [Certificate]) throws {
        let file = try FileHandle(forReadingFrom: URL(fileURLWithPath: path))
        defer { try? file.close() }
        let data = try file.read(upToCount: Self.fileBytesMax + 1) ?? Data()
        guard data.count <= Self.fileBytesMax else { throw RevocationList.Failure(description: "it is too large") }
        let documents = try PEMDocument.parseMultiple(pemString: String(decoding: data, as: UTF8.self))
        var lists: [DistinguishedName: RevocationList] = [:]
        for document in documents where document.discriminator == "X509 CRL" {
            let list = try RevocationList(derEncoded: document.derBytes, authorities: authorities)
            // Of two lists of one authority the later one counts.
            if let other = lists[list.issuer], (other.nextUpdate ?? .max) > (list.nextUpdate ?? .max) { continue }
            lists[list.issuer] = list
        }
        guard !lists.isEmpty else { throw RevocationList.Failure(description: "it holds no list") }
        self.lists = lists
    }

    /// As of a parsed certificate; one that cannot be parsed is none that anybody could vouch for.
    func objection(to certificate: NIOSSLCertificate) -> String? {
        guard let bytes = try? certificate.toDERBytes(), let parsed = try? Certificate(derEncoded: bytes) else {
            return "the client's certificate cannot be read"
        }
        return objection(to: parsed)
    }

    /// Why a client that is in has to go: its certificate stands in a list. That a list is missing or out of date keeps
    /// new clients out, and is no reason to stop a site that works.
    func revocation(of certificate: NIOSSLCertificate) -> String? {
        guard let bytes = try? certificate.toDERBytes(), let parsed = try? Certificate(derEncoded: bytes),
            lists[parsed.issuer]?.contains(serial: parsed.serialNumber.bytes) == true
        else { return nil }
        return Self.revoked
    }

    private static let revoked = "the client's certificate is revoked"

    /// Why a client with this certificate is not let in; nil if it is. Without a current list of its authority nobody
    /// can say that it is not revoked, so it counts as if it were.
    func objection(to certificate: Certificate, now: Int64 = RevocationList.now()) -> String? {
        guard let list = lists[certificate.issuer] else {
            return "there is no list of revoked certificates of the client's authority"
        }
        if let due = list.nextUpdate, due < now {
            return "the list of revoked certificates of the client's authority is out of date"
        }
        guard list.contains(serial: certificate.serialNumber.bytes) else { return nil }
        return Self.revoked
    }
}
