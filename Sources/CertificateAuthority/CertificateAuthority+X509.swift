internal import Foundation
internal import SwiftASN1
internal import X509

extension CertificateAuthority {
    /// Reads the first certificate of a PEM text.
    static func certificate(pem: String) throws(CertificateAuthorityError) -> Certificate {
        do {
            let documents = try PEMDocument.parseMultiple(pemString: pem)
            guard let document = documents.first(where: { $0.discriminator == Certificate.defaultPEMDiscriminator })
            else {
                throw CertificateAuthorityError(.unreadable, "there is no certificate in the text")
            }
            return try Certificate(pemDocument: document)
        } catch let error as CertificateAuthorityError {
            throw error
        } catch {
            throw CertificateAuthorityError(.unreadable, "the certificate cannot be read as PEM")
        }
    }

    static func pem(of certificate: Certificate) throws(CertificateAuthorityError) -> String {
        do {
            return try certificate.serializeAsPEM().pemString + "\n"
        } catch {
            throw CertificateAuthorityError(.library, "the certificate cannot be written as PEM", cause: "\(error)")
        }
    }

    static func distinguishedName(_ commonName: String) throws(CertificateAuthorityError) -> DistinguishedName {
        do {
            return try DistinguishedName { CommonName(commonName) }
        } catch {
            throw CertificateAuthorityError(
                .invalidName,
                "'\(commonName)' cannot stand in a certificate",
                cause: "\(error)"
            )
        }
    }

    /// Makes and signs a certificate with a random serial number.
    static func sign(
        publicKey: Certificate.PublicKey,
        subject: DistinguishedName,
        issuer: DistinguishedName,
        validity: CertificateValidity,
        key: Certificate.PrivateKey,
        extensions: () throws -> [any CertificateExtensionConvertible]
    ) throws(CertificateAuthorityError) -> Certificate {
        guard validity.notBefore < validity.notAfter else {
            throw CertificateAuthorityError(.invalidValidity, "the lifetime ends before it begins")
        }
        do {
            return try Certificate(
                version: .v3,
                serialNumber: Certificate.SerialNumber(),
                publicKey: publicKey,
                notValidBefore: validity.notBefore,
                notValidAfter: validity.notAfter,
                issuer: issuer,
                subject: subject,
                extensions: Certificate.Extensions(try extensions().map { try $0.makeCertificateExtension() }),
                issuerPrivateKey: key
            )
        } catch {
            throw CertificateAuthorityError(.library, "the certificate cannot be made", cause: "\(error)")
        }
    }
}

extension CertificateDetails {
    init(_ certificate: Certificate) {
        commonName = Self.commonName(of: certificate.subject)
        issuer = Self.commonName(of: certificate.issuer)
        let names = try? certificate.extensions.subjectAlternativeNames
        hosts = (names.map(Array.init) ?? []).compactMap { name in
            switch name {
            case .dnsName(let host): host
            case .ipAddress(let address): CertificateNames.address(address.bytes)
            default: nil
            }
        }
        var purposes: [String] = []
        if case .isCertificateAuthority = try? certificate.extensions.basicConstraints { purposes.append("authority") }
        if let usages = try? certificate.extensions.extendedKeyUsage {
            if usages.contains(.serverAuth) { purposes.append("server") }
            if usages.contains(.clientAuth) { purposes.append("client") }
        }
        self.purposes = purposes
        serialNumber = certificate.serialNumber.bytes.map { byte in
            (byte < 16 ? "0" : "") + String(byte, radix: 16)
        }.joined()
        validity = CertificateValidity(notBefore: certificate.notValidBefore, notAfter: certificate.notValidAfter)
    }

    private static func commonName(of name: DistinguishedName) -> String {
        for relative in name {
            for attribute in relative where attribute.type == .NameAttributes.commonName {
                return String(describing: attribute.value)
            }
        }
        return String(describing: name)
    }
}
