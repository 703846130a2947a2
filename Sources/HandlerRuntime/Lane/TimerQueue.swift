/// The timers of a handler by instant. Entries that no longer hold are left in place and skipped: who pops one asks the
/// key's own list, which is what counts.
struct TimerQueue {
    struct Entry: Comparable {
        var due: Int64
        var key: String
        var name: String

        static func < (left: Entry, right: Entry) -> Bool {
            (left.due, left.key, left.name) < (right.due, right.key, right.name)
        }
    }

    /// A binary heap, the earliest first.
    private var heap: [Entry] = []

    var count: Int { heap.count }
    var first: Entry? { heap.first }

    mutating func insert(_ entry: Entry) {
        heap.append(entry)
        var child = heap.count - 1
        while child > 0, heap[child] < heap[(child - 1) / 2] {
            heap.swapAt(child, (child - 1) / 2)
            child = (child - 1) / 2
        }
    }

    mutating func removeFirst() -> Entry? {
        guard let first = heap.first else { return nil }
        heap.swapAt(0, heap.count - 1)
        heap.removeLast()
        var parent = 0
        while true {
            var least = parent
            for child in [2 * parent + 1, 2 * parent + 2] where child < heap.count && heap[child] < heap[least] {
                least = child
            }
            guard least != parent else { return first }
            heap.swapAt(parent, least)
            parent = least
        }
    }
}
