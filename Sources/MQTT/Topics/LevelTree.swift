internal import NIOCore

/// A tree of topic levels: the part that subscriptions and retained messages share.
///
/// Nodes are numbers. A child is found by one probe of a hash table keyed by parent and level text, so matching a topic
/// costs as many probes as it has levels, times the `+` branches that exist. There is no recursion anywhere, and a node
/// that nobody holds and that has no children goes away. What a node means is kept by the owner, under its number.
@usableFromInline
struct LevelTree: Sendable {
    /// No node.
    static let none: Int32 = -1
    /// The node above all first levels.
    static let root: Int32 = 0

    struct Node: Sendable {
        var parent = LevelTree.none
        var firstChild = LevelTree.none
        var nextSibling = LevelTree.none
        var previousSibling = LevelTree.none
        /// The child for the wildcard `+`; never in the hash table.
        var plusChild = LevelTree.none
        /// The child for the wildcard `#`; never in the hash table.
        var multiChild = LevelTree.none
        /// The hash of parent and text, as the table uses it.
        var hash: UInt32 = 0
        /// Where the text is in `texts`.
        var textOffset = 0
        var textLength = 0
        /// Whether the owner keeps something under this node.
        var isHeld = false

        var textRange: Range<Int> { Range(uncheckedBounds: (textOffset, textOffset &+ textLength)) }

        var isLeaf: Bool {
            firstChild == LevelTree.none && plusChild == LevelTree.none && multiChild == LevelTree.none
        }
    }

    /// All nodes, used and free ones. Free ones are chained by `nextSibling`.
    private(set) var nodes: [Node] = [Node()]
    private var firstFree = LevelTree.none
    /// The texts of all levels, one after the other, with gaps where nodes went away.
    private(set) var texts: [UInt8] = []
    private var unusedTextBytes = 0
    /// Node numbers by hash, open addressing with linear probing; a power of two.
    private var table: [Int32] = Array(repeating: LevelTree.none, count: 16)
    /// How many nodes there are in the table.
    private var tableCount = 0

    @usableFromInline
    init() {}

    /// One more than the largest node number.
    @usableFromInline
    var nodeLimit: Int { nodes.count }

    /// How many nodes are in use, the root included.
    private(set) var nodeCount = 1
    /// The key of the level hashes.
    private let seed = Word.seed
}

/// Finding, making and removing nodes.
extension LevelTree {
    /// The node of a filter without its share prefix, or nil.
    @usableFromInline
    func find(_ filter: TopicFilter) -> Int32? {
        filter.withFilterBytes { find($0, wildcards: true) }
    }

    /// The node of a topic name, or nil.
    @usableFromInline
    func find(_ topic: TopicName) -> Int32? {
        topic.bytes.withUnsafeReadableBytes { find($0, wildcards: false) }
    }

    /// The node of a filter without its share prefix, made where it is missing, and held.
    @usableFromInline
    mutating func hold(_ filter: TopicFilter) -> Int32 {
        let node = filter.withFilterBytes { make($0, wildcards: true) }
        nodes[Int(node)].isHeld = true
        return node
    }

    /// The node of a topic name, made where it is missing, and held.
    @usableFromInline
    mutating func hold(_ topic: TopicName) -> Int32 {
        let node = topic.bytes.withUnsafeReadableBytes { make($0, wildcards: false) }
        nodes[Int(node)].isHeld = true
        return node
    }

    /// The node of a filter or name, or nil. With `wildcards`, levels `+` and `#` are wildcards.
    private func find(_ path: UnsafeRawBufferPointer, wildcards: Bool) -> Int32? {
        var node = Self.root
        var levels = LevelSplitter(path)
        while let level = levels.next() {
            let text = UnsafeRawBufferPointer(rebasing: path[level])
            switch wildcards ? Wildcard(text) : nil {
            case .plus: node = nodes[Int(node)].plusChild
            case .multi: node = nodes[Int(node)].multiChild
            case nil: node = child(of: node, text, hash: levelHash(text))
            }
            guard node != Self.none else { return nil }
        }
        return node
    }

    /// The node of a filter or name, made where it is missing. It has to be held at once, or it leaks.
    private mutating func make(_ path: UnsafeRawBufferPointer, wildcards: Bool) -> Int32 {
        var node = Self.root
        var levels = LevelSplitter(path)
        while let level = levels.next() {
            let text = UnsafeRawBufferPointer(rebasing: path[level])
            let parent = node
            switch wildcards ? Wildcard(text) : nil {
            case .plus:
                node = nodes[Int(parent)].plusChild
                if node == Self.none {
                    node = newNode(under: parent)
                    nodes[Int(parent)].plusChild = node
                }
            case .multi:
                node = nodes[Int(parent)].multiChild
                if node == Self.none {
                    node = newNode(under: parent)
                    nodes[Int(parent)].multiChild = node
                }
            case nil:
                let hash = levelHash(text)
                node = child(of: parent, text, hash: hash)
                if node == Self.none { node = newChild(under: parent, text, hash: hash) }
            }
        }
        return node
    }

    /// Says that the owner keeps nothing under the node any more; it goes, with all ancestors that served only it.
    @usableFromInline
    mutating func release(_ node: Int32) {
        nodes[Int(node)].isHeld = false
        var node = node
        while node != Self.root, !nodes[Int(node)].isHeld, nodes[Int(node)].isLeaf {
            let parent = nodes[Int(node)].parent
            unlink(node, from: parent)
            nodes[Int(node)] = Node()
            nodes[Int(node)].nextSibling = firstFree
            firstFree = node
            nodeCount -= 1
            node = parent
        }
        compactTexts()
    }

    private mutating func newNode(under parent: Int32) -> Int32 {
        nodeCount += 1
        var node = firstFree
        if node == Self.none {
            node = Int32(nodes.count)
            nodes.append(Node())
        } else {
            firstFree = nodes[Int(node)].nextSibling
            nodes[Int(node)] = Node()
        }
        nodes[Int(node)].parent = parent
        return node
    }

    private mutating func newChild(under parent: Int32, _ text: UnsafeRawBufferPointer, hash: UInt64) -> Int32 {
        let node = newNode(under: parent)
        nodes[Int(node)].hash = Self.tableHash(parent, hash)
        // An empty level stays at 0, as compaction moves only what has bytes.
        nodes[Int(node)].textOffset = text.isEmpty ? 0 : texts.count
        nodes[Int(node)].textLength = text.count
        texts.append(contentsOf: text)
        let sibling = nodes[Int(parent)].firstChild
        nodes[Int(node)].nextSibling = sibling
        if sibling != Self.none { nodes[Int(sibling)].previousSibling = node }
        nodes[Int(parent)].firstChild = node
        insertIntoTable(node)
        return node
    }

    private mutating func unlink(_ node: Int32, from parent: Int32) {
        if nodes[Int(parent)].plusChild == node {
            nodes[Int(parent)].plusChild = Self.none
        } else if nodes[Int(parent)].multiChild == node {
            nodes[Int(parent)].multiChild = Self.none
        } else {
            removeFromTable(node)
            unusedTextBytes += nodes[Int(node)].textLength
            let previous = nodes[Int(node)].previousSibling
            let next = nodes[Int(node)].nextSibling
            if next != Self.none { nodes[Int(next)].previousSibling = previous }
            if previous == Self.none {
                nodes[Int(parent)].firstChild = next
            } else {
                nodes[Int(previous)].nextSibling = next
            }
        }
    }

    /// Writes the texts anew once more than half of them, and more than a page, is gaps.
    private mutating func compactTexts() {
        guard unusedTextBytes > 4_096, unusedTextBytes > texts.count / 2 else { return }
        var compact: [UInt8] = []
        compact.reserveCapacity(texts.count - unusedTextBytes)
        for node in nodes.indices where nodes[node].textLength > 0 {
            let start = nodes[node].textOffset
            nodes[node].textOffset = compact.count
            compact.append(contentsOf: texts[start..<(start + nodes[node].textLength)])
        }
        texts = compact
        unusedTextBytes = 0
    }
}

/// The hash table.
extension LevelTree {
    /// The hash of a level's text.
    @inline(__always)
    func levelHash(_ text: UnsafeRawBufferPointer) -> UInt64 { Word.hash(text, seed: seed) }

    /// The hash of a level under a parent.
    @inline(__always)
    static func tableHash(_ parent: Int32, _ levelHash: UInt64) -> UInt32 {
        let mixed = Word.fold(levelHash ^ UInt64(truncatingIfNeeded: parent), 0x9E37_79B9_7F4A_7C15)
        return UInt32(truncatingIfNeeded: mixed)
    }

    /// The child of a parent with this text, or `none`. The hash is ``levelHash(_:)`` of the text.
    func child(of parent: Int32, _ text: UnsafeRawBufferPointer, hash levelHash: UInt64) -> Int32 {
        withMemory { $0.child(of: parent, text, hash: levelHash) }
    }

    /// The tree's memory in place, for a walk that reads much: no retain, release or copy for each node.
    struct Memory {
        let nodes: UnsafeBufferPointer<Node>
        let table: UnsafeBufferPointer<Int32>
        let texts: UnsafeRawBufferPointer

        @inline(__always)
        func child(of parent: Int32, _ text: UnsafeRawBufferPointer, hash levelHash: UInt64) -> Int32 {
            let hash = LevelTree.tableHash(parent, levelHash)
            let mask = table.count &- 1
            var slot = Int(truncatingIfNeeded: hash) & mask
            while true {
                let number = table[slot]
                guard number != LevelTree.none else { return LevelTree.none }
                let node = nodes[Int(number)]
                if node.hash == hash, node.parent == parent, node.textLength == text.count,
                    Bytes.areEqual(UnsafeRawBufferPointer(rebasing: texts[node.textRange]), text)
                {
                    return number
                }
                slot = (slot &+ 1) & mask
            }
        }
    }

    @inline(__always)
    func withMemory<Result>(_ body: (Memory) -> Result) -> Result {
        nodes.withUnsafeBufferPointer { nodes in
            table.withUnsafeBufferPointer { table in
                texts.withUnsafeBytes { body(Memory(nodes: nodes, table: table, texts: $0)) }
            }
        }
    }

    private mutating func insertIntoTable(_ node: Int32) {
        if (tableCount + 1) * 4 > table.count * 3 { resizeTable(to: table.count * 2) }
        place(node)
        tableCount += 1
    }

    private mutating func place(_ node: Int32) {
        let mask = table.count - 1
        var slot = Int(nodes[Int(node)].hash) & mask
        while table[slot] != Self.none { slot = (slot + 1) & mask }
        table[slot] = node
    }

    private mutating func resizeTable(to size: Int) {
        let old = table
        table = Array(repeating: Self.none, count: size)
        for node in old where node != Self.none { place(node) }
    }

    /// Takes a node out, and moves later ones of the same run back, so that probing never needs tombstones.
    private mutating func removeFromTable(_ node: Int32) {
        let mask = table.count - 1
        var slot = Int(nodes[Int(node)].hash) & mask
        while table[slot] != node { slot = (slot + 1) & mask }
        var gap = slot
        while true {
            slot = (slot + 1) & mask
            let next = table[slot]
            guard next != Self.none else { break }
            let home = Int(nodes[Int(next)].hash) & mask
            // It may move back to the gap if its home is not between the gap and where it is.
            if (slot - home) & mask >= (slot - gap) & mask {
                table[gap] = next
                gap = slot
            }
        }
        table[gap] = Self.none
        tableCount -= 1
        if table.count > 16, tableCount * 8 < table.count { resizeTable(to: table.count / 2) }
    }
}

/// The wildcards as whole levels.
enum Wildcard {
    case plus
    case multi

    @inline(__always)
    init?(_ text: UnsafeRawBufferPointer) {
        guard text.count == 1 else { return nil }
        switch text[0] {
        case TopicFilter.plus: self = .plus
        case TopicFilter.multi: self = .multi
        default: return nil
        }
    }
}

/// Cuts a filter or name at its separators. There is always at least one level, possibly empty.
struct LevelSplitter {
    private let bytes: UnsafeRawBufferPointer
    private var offset = 0
    private var isDone = false

    @inline(__always)
    init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    /// The range of the next level.
    @inline(__always)
    mutating func next() -> Range<Int>? {
        guard !isDone else { return nil }
        let start = offset
        let end = self.end(from: start)
        isDone = end == bytes.count
        offset = end &+ 1
        return Range(uncheckedBounds: (start, end))
    }

    /// Where the next separator is, or the end.
    @inline(__always)
    private func end(from start: Int) -> Int {
        var end = start
        while bytes.count &- end >= 8 {
            let mask = Word.separators(Word.load(bytes, end))
            guard mask == 0 else { return end &+ mask.trailingZeroBitCount &>> 3 }
            end &+= 8
        }
        while end < bytes.count, bytes[end] != TopicFilter.separator { end &+= 1 }
        return end
    }

    /// How many levels there are.
    @inline(__always)
    static func count(_ bytes: UnsafeRawBufferPointer) -> Int {
        var count = 1
        var offset = 0
        while bytes.count &- offset >= 8 {
            count &+= Word.count(Word.separators(Word.load(bytes, offset)))
            offset &+= 8
        }
        if offset < bytes.count {
            count &+= Word.count(Word.separators(Word.loadTail(bytes, bytes.count &- offset)))
        }
        return count
    }
}
