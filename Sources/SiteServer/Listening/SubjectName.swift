internal import NIOSSL
internal import SwiftASN1
internal import X509

extension SubjectName {
    /// The whole subject; nil if there is none that could be a user name.
    static func text(of certificate: NIOSSLCertificate) -> String? {
        guard let bytes = try? certificate.toDERBytes(), let parsed = try? Certificate(derEncoded: bytes) else {
            return nil
        }
        return usable(text(parsed.subject))
    }

    /// The last part first, parts separated by commas, several attributes of one part by plus signs.
    static func text(_ name: DistinguishedName) -> String {
        name.reversed().map { part in part.reversed().map(text).joined(separator: "+") }.joined(separator: ",")
    }

    private static func text(_ attribute: RelativeDistinguishedName.Attribute) -> String {
        guard let keyword = keywords[attribute.type.description], let value = String(attribute.value) else {
            return "\(keywords[attribute.type.description] ?? attribute.type.description)=\(dump(attribute.value))"
        }
        return "\(keyword)=\(escaped(value))"
    }

    /// A value that cannot be written as text: its DER in hexadecimal.
    private static func dump(_ value: RelativeDistinguishedName.Attribute.Value) -> String {
        var serializer = DER.Serializer()
        guard (try? serializer.serialize(ASN1Any(value))) != nil else { return "" }
        return "#" + serializer.serializedBytes.map(hexadecimal).joined()
    }

    private static func escaped(_ value: String) -> String {
        var text = ""
        let bytes = Array(value.utf8)
        for (index, byte) in bytes.enumerated() {
            let isEdge = index == 0 || index == bytes.count - 1
            switch byte {
            case UInt8(ascii: ","), UInt8(ascii: "+"), UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "<"),
                UInt8(ascii: ">"), UInt8(ascii: ";"):
                text += "\\" + String(UnicodeScalar(byte))
            case UInt8(ascii: " ") where isEdge, UInt8(ascii: "#") where index == 0:
                text += "\\" + String(UnicodeScalar(byte))
            case ..<0x20, 0x7F...: text += "\\" + hexadecimal(byte)
            default: text += String(UnicodeScalar(byte))
            }
        }
        return text
    }

    private static func hexadecimal(_ byte: UInt8) -> String {
        let text = String(byte, radix: 16, uppercase: true)
        return byte < 16 ? "0" + text : text
    }

    /// OpenSSL's short names of what stands in subjects.
    private static let keywords = [
        "2.5.4.3": "CN", "2.5.4.4": "SN", "2.5.4.5": "serialNumber", "2.5.4.6": "C", "2.5.4.7": "L", "2.5.4.8": "ST",
        "2.5.4.9": "street", "2.5.4.10": "O", "2.5.4.11": "OU", "2.5.4.12": "title", "2.5.4.13": "description",
        "2.5.4.15": "businessCategory", "2.5.4.17": "postalCode", "2.5.4.41": "name", "2.5.4.42": "GN",
        "2.5.4.43": "initials", "2.5.4.44": "generationQualifier", "2.5.4.45": "x500UniqueIdentifier",
        "2.5.4.46": "dnQualifier", "2.5.4.65": "pseudonym", "2.5.4.97": "organizationIdentifier",
        "0.9.2342.19200300.100.1.1": "UID", "0.9.2342.19200300.100.1.25": "DC",
        "1.2.840.113549.1.9.1": "emailAddress", "1.2.840.113549.1.9.2": "unstructuredName",
    ]
}
