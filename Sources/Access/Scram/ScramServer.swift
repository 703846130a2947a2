internal import Crypto
internal import Foundation

/// The server's side of SCRAM-SHA-256 (RFC 5802, RFC 7677), without channel binding: bytes in, an action out.
///
/// Preparation of names and passwords: ASCII counts as it is; other text is normalised by NFKC, and refused where it
/// holds control characters. A user name must be prepared already, so that one user has one spelling.
struct ScramServer: Sendable, Hashable {
    /// What the name of the method is in CONNECT and AUTH.
    static let method = "SCRAM-SHA-256"
    /// The longest message of a client that is looked at, in bytes.
    static let messageBytesMax = 4_096
    private static let nonceBytes = 18

    /// What is to be done next.
    enum Action: Hashable {
        /// Send this; the client answers.
        case challenge([UInt8])
        /// The client has proved that it knows the password; this proves that we do.
        case accept(username: String, serverFinal: [UInt8])
        /// It has not, or broke a rule.
        case refuse
    }

    /// What the server keeps of a user.
    struct Credential: Sendable, Hashable {
        let salt: [UInt8]
        let iterations: Int
        let keys: ScramKeys
        /// Whether there is such a user; if not, the exchange goes on all the same and fails at its end.
        let isKnown: Bool
    }

    private enum State: Sendable, Hashable {
        case initial
        case challenged(ClientFirst, serverFirst: String, nonce: String, Credential)
        case done
    }

    private var state = State.initial

    init() {}

    // MARK: - The first message

    /// What the client-first-message says.
    struct ClientFirst: Sendable, Hashable {
        let username: String
        let nonce: String
        /// The message without its header, which both proofs are over.
        let bare: String
        /// The header, which the client repeats.
        let header: String

        init?(_ message: [UInt8]) {
            guard message.count <= messageBytesMax, let text = String(validating: message, as: UTF8.self) else {
                return nil
            }
            let parts = text.split(separator: "," as Character, maxSplits: 2, omittingEmptySubsequences: false)
            // `n`: the client knows no channel binding; `y`: it thinks that we do not. We do not. `p=` asks for it.
            guard parts.count == 3, parts[0] == "n" || parts[0] == "y" else { return nil }
            let fields = parts[2].split(separator: "," as Character, omittingEmptySubsequences: false)
            // `m=` is for extensions that have to be understood.
            guard fields.count >= 2, fields[0].hasPrefix("n="), fields[1].hasPrefix("r="),
                let name = ScramServer.unescaped(fields[0].dropFirst(2)), ScramServer.prepared(name) == name,
                ScramServer.isNonce(fields[1].dropFirst(2))
            else { return nil }
            // An identity to act as: only oneself.
            if !parts[1].isEmpty {
                guard parts[1].hasPrefix("a="), ScramServer.unescaped(parts[1].dropFirst(2)) == name else { return nil }
            }
            username = name
            nonce = String(fields[1].dropFirst(2))
            bare = String(parts[2])
            header = "\(parts[0]),\(parts[1]),"
        }
    }

    /// Takes the client-first-message.
    mutating func start(
        _ message: [UInt8],
        serverNonce: String? = nil,
        credential: (_ username: String) -> Credential
    ) -> Action {
        guard case .initial = state, let first = ClientFirst(message) else { return refuse() }
        let found = credential(first.username)
        let nonce = first.nonce + (serverNonce ?? Self.randomNonce())
        let salt = Data(found.salt).base64EncodedString()
        let serverFirst = "r=\(nonce),s=\(salt),i=\(found.iterations)"
        state = .challenged(first, serverFirst: serverFirst, nonce: nonce, found)
        return .challenge(Array(serverFirst.utf8))
    }

    // MARK: - The final message

    /// Takes the client-final-message.
    mutating func finish(_ message: [UInt8]) -> Action {
        guard case .challenged(let first, let serverFirst, let nonce, let credential) = state else {
            return refuse()
        }
        state = .done
        guard message.count <= Self.messageBytesMax, let text = String(validating: message, as: UTF8.self),
            let end = text.range(of: ",p=", options: .backwards)
        else { return .refuse }
        let withoutProof = text[..<end.lowerBound]
        let fields = withoutProof.split(separator: "," as Character, omittingEmptySubsequences: false)
        guard fields.count >= 2, fields[0] == "c=\(Data(first.header.utf8).base64EncodedString())",
            fields[1] == "r=\(nonce)", let proof = Data(base64Encoded: String(text[end.upperBound...])),
            proof.count == SHA256.byteCount
        else { return .refuse }
        let authMessage = Array("\(first.bare),\(serverFirst),\(withoutProof)".utf8)
        let signature = ScramKeys.hmac(credential.keys.storedKey, authMessage)
        let clientKey = zip(signature, proof).map { $0 ^ $1 }
        let isRight = ConstantTime.areEqual(Array(SHA256.hash(data: clientKey)), credential.keys.storedKey)
        guard isRight && credential.isKnown else { return .refuse }
        let serverSignature = ScramKeys.hmac(credential.keys.serverKey, authMessage)
        let final = "v=\(Data(serverSignature).base64EncodedString())"
        return .accept(username: first.username, serverFinal: Array(final.utf8))
    }

    private mutating func refuse() -> Action {
        state = .done
        return .refuse
    }

    // MARK: - Text

    /// `=2C` is a comma and `=3D` an equals sign; no other use of `=` is allowed.
    static func unescaped(_ text: Substring) -> String? {
        var result = ""
        var rest = text
        while let character = rest.first {
            if rest.hasPrefix("=2C") {
                result += ","
                rest = rest.dropFirst(3)
            } else if rest.hasPrefix("=3D") {
                result += "="
                rest = rest.dropFirst(3)
            } else if character == "=" {
                return nil
            } else {
                result.append(character)
                rest = rest.dropFirst()
            }
        }
        return result.isEmpty ? nil : result
    }

    /// Names and passwords as they are compared; nil for what nobody may have.
    static func prepared(_ text: String) -> String? {
        let isASCII = text.utf8.allSatisfy { $0 < 0x80 }
        let prepared = isASCII ? text : text.precomposedStringWithCompatibilityMapping
        let isProhibited = prepared.unicodeScalars.contains { $0.properties.generalCategory == .control }
        return prepared.isEmpty || isProhibited ? nil : prepared
    }

    private static func isNonce(_ text: Substring) -> Bool {
        !text.isEmpty && text.utf8.allSatisfy { (0x21...0x7E).contains($0) && $0 != UInt8(ascii: ",") }
    }

    private static func randomNonce() -> String {
        var generator = SystemRandomNumberGenerator()
        let bytes = (0..<nonceBytes).map { _ in UInt8.random(in: 0...255, using: &generator) }
        return Data(bytes).base64EncodedString()
    }
}
