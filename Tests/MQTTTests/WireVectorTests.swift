import MQTT
import NIOCore
import Testing

@Suite("Wire vectors")
struct WireVectorTests {
    @Test("The bytes of every vector mean what it says", arguments: WireVector.all)
    func decode(_ vector: WireVector) throws {
        var decoder = vector.decoder
        var buffer = ByteBuffer(bytes: vector.bytes)
        switch vector.expectation {
        case .both(let line), .decodes(let line):
            let packet = try #require(try decoder.next(&buffer))
            #expect(packet.line == line)
            #expect(buffer.readableBytes == 0)
        case .fails(let reason, let statement):
            let error = try #require(throws: MQTTError.self) { try decoder.next(&buffer) }
            #expect(error.reason == ReasonCode(rawValue: reason), "\(error)")
            #expect(error.statement == statement, "\(error)")
            #expect(buffer.readableBytes == vector.bytes.count, "an error consumes nothing")
            #expect(throws: error) { try decoder.next(&buffer) }
        case .incomplete:
            #expect(try decoder.next(&buffer) == nil)
            #expect(buffer.readableBytes == vector.bytes.count, "half a packet is not consumed")
        }
    }

    @Test("The packet of every two-way vector is written as its bytes", arguments: WireVector.all)
    func encode(_ vector: WireVector) throws {
        guard case .both = vector.expectation else { return }
        var decoder = vector.decoder
        var buffer = ByteBuffer(bytes: vector.bytes)
        let packet = try #require(try decoder.next(&buffer))
        var encoded = ByteBuffer()
        let version = try #require(decoder.version)
        #expect(PacketEncoder.encode(packet, version: version, into: &encoded))
        #expect(Hex.text(encoded.readableBytesView) == Hex.text(vector.bytes))
    }

    @Test("Every vector decodes the same when it comes byte by byte", arguments: WireVector.all)
    func split(_ vector: WireVector) throws {
        var whole = vector.decoder
        var wholeBuffer = ByteBuffer(bytes: vector.bytes)
        let expected = Result { () throws(MQTTError) in try whole.next(&wholeBuffer) }
        var decoder = vector.decoder
        var buffer = ByteBuffer()
        var outcome = Result<Packet?, MQTTError>.success(nil)
        for byte in vector.bytes {
            buffer.writeInteger(byte)
            outcome = Result { () throws(MQTTError) in try decoder.next(&buffer) }
            if case .success(nil) = outcome { continue }
            break
        }
        #expect(outcome == expected)
    }

    @Test("A cut of every good vector is incomplete, never an error and never a packet", arguments: WireVector.all)
    func cut(_ vector: WireVector) throws {
        switch vector.expectation {
        case .both, .decodes: break
        case .fails, .incomplete: return
        }
        for length in 0..<vector.bytes.count {
            var decoder = vector.decoder
            var buffer = ByteBuffer(bytes: vector.bytes[..<length])
            #expect(try decoder.next(&buffer) == nil, "cut at \(length)")
        }
    }
}
