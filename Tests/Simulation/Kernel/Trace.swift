import NIOCore

/// What has happened, as one number: two runs of a seed must end with the same. Printed where wanted.
final class Trace {
    /// Kinds of happenings. The raw value goes into the hash, so it is never given another meaning.
    enum Mark: UInt8 {
        case start = 1, stop, kill, power, boot, commit, notice, checkpoint, stall, diskFailure, diskFull, diskRoom
        case opened, upBytes, downBytes, ended, cut, stalled, dead
        case sent, got, rules, wallJump, publish, acknowledged, refused, application, will, decision, settle
        case violation
    }

    /// The kernel's time.
    var time: UInt64 = 0
    /// The sum of everything.
    private(set) var hash: UInt64 = 0xCBF2_9CE4_8422_2325
    private let prints: Bool
    /// How many happenings were noted.
    private(set) var count: UInt64 = 0

    init(prints: Bool) { self.prints = prints }

    /// Notes something with up to four numbers that tell it from others of its kind.
    func note(_ mark: Mark, _ first: Int = 0, _ second: Int = 0, _ third: Int = 0, _ fourth: Int = 0) {
        count += 1
        mix(time)
        mix(UInt64(mark.rawValue))
        for number in [first, second, third, fourth] { mix(UInt64(truncatingIfNeeded: number)) }
        guard prints else { return }
        say("\(mark) \(first) \(second) \(third) \(fourth)")
    }

    /// A line that is not part of the hash.
    func say(_ text: @autoclosure () -> String) {
        guard prints else { return }
        let millisecond = time / Time.millisecond
        let fraction = String(1000 + time / Time.microsecond % 1000).dropFirst()
        print("\(millisecond).\(fraction) \(text())")
    }

    private func mix(_ number: UInt64) {
        hash = (hash ^ number) &* 0x0000_0100_0000_01B3
        hash ^= hash >> 29
    }

    /// A number for bytes.
    static func sum(_ bytes: ByteBuffer) -> Int {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        bytes.withUnsafeReadableBytes { raw in
            for byte in raw { hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01B3 }
        }
        return Int(truncatingIfNeeded: hash)
    }
}
