import Testing

@testable import MosquittoClient

@Suite("Stamps, envelopes, gaps and commits")
struct StampTests {
    private let stamp = BridgeStamp(
        site: "store \"42\" æ",
        epoch: 1_700_000_000,
        sequence: .max,
        className: "alarm",
        receivedMilliseconds: 1_700_000_000_123,
        queuedMilliseconds: 5,
        isReplayed: true
    )

    @Test("a stamp survives its user properties, whatever stands around them")
    func properties() {
        var list = [MosquittoUserProperty("other", "x")] + stamp.userProperties + [.init("cw-seq", "1")]
        #expect(BridgeStamp(userProperties: list) == stamp)
        list.removeAll { $0.name == "cw-epoch" }
        #expect(BridgeStamp(userProperties: list) == nil)
        for bad in ["0", "-1", "x", "", "18446744073709551616"] {
            #expect(
                BridgeStamp(userProperties: [.init("cw-site", "s"), .init("cw-epoch", "1"), .init("cw-seq", bad)])
                    == nil
            )
        }
    }

    @Test("an envelope brings back the payload byte for byte")
    func envelopes() throws {
        let payloads: [[UInt8]] = [
            Array(#"{"n":1.10,"s":"\u00e6 \" }"}"#.utf8), Array("[]".utf8), Array("5".utf8), Array("\"x\"".utf8), [],
            Array("not json".utf8), [0, 255, 1], Array("{".utf8), Array("nul".utf8),
        ]
        for payload in payloads {
            for topic in [nil, "a/\"b\""] {
                let envelope = BridgeEnvelope(stamp: stamp, topic: topic, payload: payload)
                let bytes = envelope.encode()
                #expect(JSONReader.isValid(bytes))
                #expect(BridgeEnvelope(decoding: bytes) == envelope)
            }
        }
        #expect(BridgeEnvelope(decoding: Array(#"{"site":"s","epoch":1,"seq":1,"payload":1}"#.utf8)) == nil)
        #expect(
            BridgeEnvelope(decoding: Array(#"{ "cw": 1, "site":"s","epoch":1,"seq":1,"payload": 1 }"#.utf8))?.payload
                == [0x31]
        )
    }

    @Test("gaps and commits survive, nonsense is nil")
    func others() {
        let gap = BridgeGap(from: 3, to: 9, count: 7, reason: "queue_full")
        #expect(BridgeGap(decoding: gap.encode()) == gap)
        #expect(BridgeGap(decoding: Array(#"{"from":9,"to":3,"reason":"x"}"#.utf8)) == nil)
        let commit = BridgeCommit(epoch: 5, sequence: 77, aggregator: "a\"b")
        #expect(BridgeCommit(decoding: commit.encode()) == commit)
        for text in ["", "{}", #"{"epoch":"5","seq":1}"#, #"{"epoch":5}"#, #"{"epoch":-5,"seq":1}"#, "[1,2]"] {
            #expect(BridgeCommit(decoding: Array(text.utf8)) == nil)
        }
    }

    @Test("base 64 is that of the standard")
    func base64() {
        let cases = [
            "": "", "f": "Zg==", "fo": "Zm8=", "foo": "Zm9v", "foob": "Zm9vYg==", "fooba": "Zm9vYmE=",
            "foobar": "Zm9vYmFy",
        ]
        for (plain, encoded) in cases {
            #expect(Base64.encode(Array(plain.utf8)) == encoded)
            #expect(Base64.decode(encoded) == Array(plain.utf8))
        }
        for bad in ["Z", "Zg=", "Zh==", "Zm9=", "Z===", "Zm9v=", "!m9v", "Zg==Zg=="] {
            #expect(Base64.decode(bad) == nil)
        }
    }

    @Test("random bytes never trap a decoder, and valid text with one byte changed is refused or still valid")
    func fuzz() {
        let seed = UInt64.random(in: 0 ... .max)
        print("seed \(seed)")
        var state = seed
        func next() -> UInt64 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return state >> 33
        }
        let seeds = [
            BridgeEnvelope(stamp: stamp, payload: Array(#"{"a":[1,-2.5e3,{"b":null}]}"#.utf8)).encode(),
            BridgeGap(from: 1, to: 2, count: 2, reason: "x").encode(),
            BridgeCommit(epoch: 1, sequence: 2, aggregator: "z").encode(),
        ]
        for round in 0..<30_000 {
            var bytes = seeds[round % seeds.count]
            for _ in 0...(next() % 3) where !bytes.isEmpty {
                let index = Int(next()) % bytes.count
                switch next() % 3 {
                case 0: bytes[index] = UInt8(truncatingIfNeeded: next())
                case 1: bytes.remove(at: index)
                default: bytes.insert(Array("{}[]\",:\\u0-.eE+tfn".utf8)[Int(next()) % 18], at: index)
                }
            }
            _ = BridgeEnvelope(decoding: bytes)
            _ = BridgeGap(decoding: bytes)
            _ = BridgeCommit(decoding: bytes)
        }
    }
}
