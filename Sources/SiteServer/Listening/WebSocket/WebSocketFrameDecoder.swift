public import NIOCore

/// Takes the frames of a client off a stream of bytes (RFC 6455, section 5). A pure value.
///
/// What binary frames carry is passed on as it comes, unmasked, whatever the lengths of frames and messages: MQTT is a
/// stream in them [MQTT-6.0.0-2]. So nothing is kept but the rest of a frame's head and of a control frame, at most 139
/// bytes.
public struct WebSocketFrameDecoder: Sendable {
    /// What comes of the bytes.
    public enum Event: Sendable, Hashable {
        /// Bytes of MQTT.
        case data(ByteBuffer)
        /// To be answered with a pong that carries the same.
        case ping(ByteBuffer)
        /// To be ignored.
        case pong
        /// The client closes, with this code if it gave one. Nothing comes after it.
        case close(UInt16?)
    }

    /// What is wrong with the client's frames.
    public struct Violation: Error, Sendable, Hashable {
        /// The code of the close frame that answers it.
        public let code: UInt16
        /// A sentence for the operator.
        public let message: String
    }

    /// The most bytes of a control frame's payload.
    public static let controlBytesMax = 125

    private enum State: Sendable {
        case head
        case payload(left: Int)
        case closed
    }

    private let frameBytesMax: Int
    private var state = State.head
    private var mask: UInt64 = 0
    /// Whether a message has begun and its last frame has not.
    private var isInMessage = false

    /// Makes one.
    ///
    /// - Parameter frameBytesMax: The length that a frame may say. Beyond: 1009.
    public init(frameBytesMax: Int) { self.frameBytesMax = frameBytesMax }

    /// Takes the next event off the bytes; nil if more bytes are needed.
    public mutating func next(_ bytes: inout ByteBuffer) throws(Violation) -> Event? {
        while true {
            switch state {
            case .closed: return nil
            case .payload(left: let left):
                let length = min(left, bytes.readableBytes)
                guard length > 0 else { return nil }
                unmask(&bytes, length)
                guard let part = bytes.readSlice(length: length) else { return nil }
                state = left > part.readableBytes ? .payload(left: left - part.readableBytes) : .head
                return .data(part)
            case .head:
                guard let head = try Head(bytes, max: frameBytesMax) else { return nil }
                if let event = try begin(head, &bytes) { return event }
                if head.isControl { return nil }
            }
        }
    }

    /// Whether nothing of a frame is missing.
    public var isBetweenFrames: Bool { if case .head = state { true } else { false } }

    // MARK: -

    /// What stands before a frame's payload.
    private struct Head {
        let opcode: UInt8
        let isFinal: Bool
        let length: Int
        let mask: UInt32
        /// Its own length.
        let bytes: Int

        var isControl: Bool { opcode & 0x8 != 0 }

        /// Nil if more bytes are needed.
        init?(_ buffer: ByteBuffer, max lengthMax: Int) throws(Violation) {
            let start = buffer.readerIndex
            guard let first = buffer.getInteger(at: start, as: UInt8.self) else { return nil }
            // RSV1 would be a compressed message, and nobody agreed to that.
            guard first & 0x70 == 0 else { throw Violation(code: 1002, message: "a frame has reserved bits set") }
            opcode = first & 0x0F
            isFinal = first & 0x80 != 0
            switch opcode {
            case 0x0, 0x2, 0x8, 0x9, 0xA: break
            case 0x1: throw Violation(code: 1003, message: "a text frame came, and MQTT is binary [MQTT-6.0.0-1]")
            default: throw Violation(code: 1002, message: "a frame has an unknown opcode")
            }
            guard let second = buffer.getInteger(at: start + 1, as: UInt8.self) else { return nil }
            guard second & 0x80 != 0 else { throw Violation(code: 1002, message: "a frame is not masked") }
            var lengthBytes = 0
            var length = UInt64(second & 0x7F)
            if opcode & 0x8 != 0 {
                guard isFinal, length <= UInt64(WebSocketFrameDecoder.controlBytesMax) else {
                    throw Violation(code: 1002, message: "a control frame is fragmented or too long")
                }
            } else if length == 126 {
                guard let long = buffer.getInteger(at: start + 2, as: UInt16.self) else { return nil }
                guard long >= 126 else { throw Violation(code: 1002, message: "a length is longer than it needs") }
                (length, lengthBytes) = (UInt64(long), 2)
            } else if length == 127 {
                guard let long = buffer.getInteger(at: start + 2, as: UInt64.self) else { return nil }
                guard long > UInt64(UInt16.max) else {
                    throw Violation(code: 1002, message: "a length is longer than it needs")
                }
                (length, lengthBytes) = (long, 8)
            }
            guard length <= UInt64(lengthMax) else { throw Violation(code: 1009, message: "a frame is too long") }
            guard let mask = buffer.getInteger(at: start + 2 + lengthBytes, as: UInt32.self) else { return nil }
            self.length = Int(length)
            self.mask = mask
            bytes = 2 + lengthBytes + 4
        }
    }

    /// Begins a frame, or takes a whole control frame. Nil for a control frame that is not whole and for a frame of
    /// data, whose payload comes next.
    private mutating func begin(_ head: Head, _ bytes: inout ByteBuffer) throws(Violation) -> Event? {
        let mask = UInt64(head.mask) << 32 | UInt64(head.mask)
        guard head.isControl else {
            guard isInMessage == (head.opcode == 0) else {
                throw Violation(code: 1002, message: "a message begins within another, or goes on without a beginning")
            }
            isInMessage = !head.isFinal
            bytes.moveReaderIndex(forwardBy: head.bytes)
            self.mask = mask
            if head.length > 0 { state = .payload(left: head.length) }
            return nil
        }
        guard bytes.readableBytes >= head.bytes + head.length else { return nil }
        bytes.moveReaderIndex(forwardBy: head.bytes)
        // The mask of the message around it is not needed any more: a control frame stands between two frames.
        self.mask = mask
        unmask(&bytes, head.length)
        guard let payload = bytes.readSlice(length: head.length) else { return nil }
        switch head.opcode {
        case 0x9: return .ping(payload)
        case 0xA: return .pong
        default:
            state = .closed
            return .close(try Self.closeCode(payload))
        }
    }

    /// Takes the mask off so many bytes, eight at a time, and keeps it turned to where the next part goes on. It is
    /// done where the bytes lie, before a slice is made of them, so that they are not copied.
    private mutating func unmask(_ buffer: inout ByteBuffer, _ count: Int) {
        guard mask != 0, count > 0 else { return }
        let pattern = mask.bigEndian
        buffer.withUnsafeMutableReadableBytes { readable in
            let bytes = UnsafeMutableRawBufferPointer(rebasing: readable[..<count])
            var index = 0
            while index + 8 <= bytes.count {
                let word = bytes.loadUnaligned(fromByteOffset: index, as: UInt64.self) ^ pattern
                bytes.storeBytes(of: word, toByteOffset: index, as: UInt64.self)
                index += 8
            }
            withUnsafeBytes(of: pattern) { pattern in
                while index < bytes.count {
                    bytes[index] ^= pattern[index & 7]
                    index += 1
                }
            }
        }
        let turn = UInt64(count % 4) * 8
        if turn > 0 { mask = mask << turn | mask >> (64 - turn) }
    }

    private static func closeCode(_ payload: ByteBuffer) throws(Violation) -> UInt16? {
        guard payload.readableBytes > 0 else { return nil }
        guard let code = payload.getInteger(at: payload.readerIndex, as: UInt16.self) else {
            throw Violation(code: 1002, message: "a close frame has half a code")
        }
        switch code {
        case 1000...1003, 1007...1014, 3000...4999: break
        default: throw Violation(code: 1002, message: "a close frame has a code that is none")
        }
        guard String(validating: payload.readableBytesView.dropFirst(2), as: UTF8.self) != nil else {
            throw Violation(code: 1007, message: "the reason of a close frame is no UTF-8")
        }
        return code
    }
}

/// Writes the frames of the server, which are never masked.
enum WebSocketFrame {
    static let binary: UInt8 = 0x82
    static let close: UInt8 = 0x88
    static let pong: UInt8 = 0x8A

    /// The most bytes that stand before a payload.
    static let headBytesMax = 10

    /// Writes what stands before a payload of that length, as a frame that is a message of its own.
    static func writeHead(_ opcode: UInt8, length: Int, into buffer: inout ByteBuffer) {
        buffer.writeInteger(opcode)
        switch length {
        case ..<126: buffer.writeInteger(UInt8(length))
        case ...Int(UInt16.max):
            buffer.writeInteger(UInt8(126))
            buffer.writeInteger(UInt16(length))
        default:
            buffer.writeInteger(UInt8(127))
            buffer.writeInteger(UInt64(length))
        }
    }
}
