/// Bytes to decide by, which end in zeros without end.
public struct FuzzBytes {
    private let bytes: [UInt8]
    private var index = 0

    /// Begins with the first.
    public init(_ bytes: [UInt8]) { self.bytes = bytes }

    /// Whether only zeros follow.
    public var isAtEnd: Bool { index >= bytes.count }

    /// The next byte.
    public mutating func next() -> UInt8 {
        guard index < bytes.count else { return 0 }
        index += 1
        return bytes[index - 1]
    }

    /// One of the values, by the next byte.
    public mutating func pick<Value>(_ values: [Value]) -> Value { values[Int(next()) % values.count] }

    /// At most so many of the next bytes.
    public mutating func take(_ count: Int) -> ArraySlice<UInt8> {
        let taken = bytes[index..<min(bytes.count, index + count)]
        index = taken.endIndex
        return taken
    }
}
