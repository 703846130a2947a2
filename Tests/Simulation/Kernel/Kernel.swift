import Repeatable

/// The one thread of a simulated world: what is to happen, in the order of time, and the only source of chance.
///
/// Time moves from event to event; two events of the same instant come in the order they were planned. Nothing here
/// asks a clock, so a seed decides everything.
final class Kernel {
    /// Nanoseconds since the beginning of the world.
    private(set) var now: UInt64 = 0
    /// What every draw comes from.
    var random: SeededRandom
    /// What has happened.
    let trace: Trace

    private struct Entry {
        let time: UInt64
        let order: UInt64
        let action: () -> Void

        func isBefore(_ other: Entry) -> Bool { time != other.time ? time < other.time : order < other.order }
    }

    /// A binary heap, the next one first.
    private var heap: [Entry] = []
    private var order: UInt64 = 0

    init(seed: UInt64, trace: Trace) {
        random = SeededRandom(seed: seed)
        self.trace = trace
    }

    /// Plans something.
    func after(_ nanoseconds: UInt64, _ action: @escaping () -> Void) {
        order += 1
        heap.append(Entry(time: now + nanoseconds, order: order, action: action))
        var child = heap.count - 1
        while child > 0 {
            let parent = (child - 1) / 2
            guard heap[child].isBefore(heap[parent]) else { break }
            heap.swapAt(child, parent)
            child = parent
        }
    }

    /// Plans something for a moment within a range of delays.
    func within(_ range: ClosedRange<UInt64>, _ action: @escaping () -> Void) {
        after(draw(range), action)
    }

    /// Lets the next thing happen. False if nothing is planned.
    func step() -> Bool {
        guard let last = heap.popLast() else { return false }
        var next = last
        if !heap.isEmpty {
            next = heap[0]
            heap[0] = last
            sink()
        }
        now = next.time
        trace.time = now
        next.action()
        return true
    }

    /// Forgets all plans: the closures hold the world that holds this.
    func end() { heap = [] }

    private func sink() {
        var parent = 0
        while true {
            var least = parent
            for child in [2 * parent + 1, 2 * parent + 2] where child < heap.count {
                if heap[child].isBefore(heap[least]) { least = child }
            }
            guard least != parent else { return }
            heap.swapAt(least, parent)
            parent = least
        }
    }

    // MARK: - Chance

    /// True that many times in a thousand.
    func chance(perMille: Int) -> Bool { perMille > 0 && Int.random(in: 0..<1000, using: &random) < perMille }

    /// A number of the range.
    func draw<Number: FixedWidthInteger>(_ range: ClosedRange<Number>) -> Number {
        Number.random(in: range, using: &random)
    }

    /// One of the elements, which are not none.
    func pick<Element>(_ elements: [Element]) -> Element { elements[Int.random(in: elements.indices, using: &random)] }
}

/// Lengths of time in nanoseconds.
enum Time {
    static let microsecond: UInt64 = 1_000
    static let millisecond: UInt64 = 1_000_000
    static let second: UInt64 = 1_000_000_000
}
