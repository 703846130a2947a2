import Crypto
import Foundation

@testable import Access

/// The client's side of SCRAM-SHA-256, for tests.
enum ScramClient {
    static func proof(password: String, salt: [UInt8], iterations: Int, authMessage: String) throws -> String {
        // Hi() of RFC 5802 written out, so that it does not share a mistake with the server's.
        let key = SymmetricKey(data: Array(password.utf8))
        var block = ScramKeys.hmac(key, salt + [0, 0, 0, 1])
        var salted = block
        for _ in 1..<iterations {
            block = ScramKeys.hmac(key, block)
            for index in salted.indices { salted[index] ^= block[index] }
        }
        let clientKey = ScramKeys.hmac(salted, Array("Client Key".utf8))
        let signature = ScramKeys.hmac(Array(SHA256.hash(data: clientKey)), Array(authMessage.utf8))
        return Data(zip(clientKey, signature).map { $0 ^ $1 }).base64EncodedString()
    }
}
