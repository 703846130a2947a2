internal import NIOCore

/// Matching in both directions: the filters that match a topic, the topics that a filter matches.
extension LevelTree {
    fileprivate struct Level {
        var start: Int32
        var end: Int32
        var hash: UInt64
    }

    fileprivate struct Branch {
        var node: Int32
        var level: Int32
    }

    /// Calls `body` with each held node whose path, a filter, matches the topic. Each node comes once.
    ///
    /// A walk in depth with the branches still to take on a stack: each level leaves at most one behind, its `+`. Level
    /// table and stack are on the machine's stack for up to forty levels, so nothing is allocated.
    @usableFromInline
    func forEachFilter(matching topic: TopicName, _ body: (Int32) -> Void) {
        topic.bytes.withUnsafeReadableBytes { forEachFilter(matching: $0, body) }
    }

    @inline(__always)
    private func forEachFilter(matching topic: UnsafeRawBufferPointer, _ body: (Int32) -> Void) {
        guard topic.count > 0, topic.count <= TopicLimits.bytesMax else { return }
        // No filter has more levels than the limit, so one level beyond it is as good as all.
        let count = min(LevelSplitter.count(topic), TopicLimits.levelsMax + 1)
        withUnsafeTemporaryAllocation(of: Level.self, capacity: count) { levels in
            withUnsafeTemporaryAllocation(of: Branch.self, capacity: count) { stack in
                var splitter = LevelSplitter(topic)
                for index in 0..<count {
                    guard let range = splitter.next() else { break }
                    let hash = levelHash(UnsafeRawBufferPointer(rebasing: topic[range]))
                    levels[index] = Level(
                        start: Int32(truncatingIfNeeded: range.lowerBound),
                        end: Int32(truncatingIfNeeded: range.upperBound),
                        hash: hash
                    )
                }
                withMemory { $0.walk(topic, levels, stack, body) }
            }
        }
    }

    /// Calls `body` with each held node whose path, a topic name, is matched by the filter, until it gives false.
    ///
    /// A walk in depth that needs no stack: a `+` goes on with the next sibling, and parents are known.
    @usableFromInline
    func forEachName(matching filter: TopicFilter, while body: (Int32) -> Bool) {
        filter.withFilterBytes { forEachName(matching: $0, while: body) }
    }

    private func forEachName(matching filter: UnsafeRawBufferPointer, while body: (Int32) -> Bool) {
        var levels: [Range<Int>] = []
        var splitter = LevelSplitter(filter)
        while let level = splitter.next() { levels.append(level) }
        var node = Self.root
        var level = 0
        while true {
            var next = Self.none
            if level == levels.count {
                if nodes[Int(node)].isHeld { guard body(node) else { return } }
            } else {
                let text = UnsafeRawBufferPointer(rebasing: filter[levels[level]])
                switch Wildcard(text) {
                case .multi: guard forEachHeld(under: node, while: body) else { return }
                case .plus: next = visible(nodes[Int(node)].firstChild)
                case nil: next = child(of: node, text, hash: levelHash(text))
                }
            }
            // Up again, to the first `+` that has another sibling.
            while next == Self.none {
                guard level > 0 else { return }
                level -= 1
                if Wildcard(UnsafeRawBufferPointer(rebasing: filter[levels[level]])) == .plus {
                    next = visible(nodes[Int(node)].nextSibling)
                }
                if next == Self.none { node = nodes[Int(node)].parent }
            }
            node = next
            level += 1
        }
    }

    /// The node and all below it, as `#` matches them: without what begins with `$` if it is the first level.
    /// False if `body` has given false.
    private func forEachHeld(under top: Int32, while body: (Int32) -> Bool) -> Bool {
        if nodes[Int(top)].isHeld { guard body(top) else { return false } }
        var node = visible(nodes[Int(top)].firstChild)
        guard node != Self.none else { return true }
        while true {
            if nodes[Int(node)].isHeld { guard body(node) else { return false } }
            var next = nodes[Int(node)].firstChild
            while next == Self.none {
                next = visible(nodes[Int(node)].nextSibling)
                guard next == Self.none else { break }
                node = nodes[Int(node)].parent
                guard node != top else { return true }
            }
            node = next
        }
    }

    /// The node itself, or its next sibling that a wildcard may see: none that begins with `$` in the first level.
    private func visible(_ node: Int32) -> Int32 {
        var node = node
        while node != Self.none, nodes[Int(node)].parent == Self.root, nodes[Int(node)].textLength > 0,
            texts[nodes[Int(node)].textOffset] == TopicFilter.dollar
        {
            node = nodes[Int(node)].nextSibling
        }
        return node
    }
}

extension LevelTree.Memory {
    /// The walk of ``LevelTree/forEachFilter(matching:_:)``.
    @inline(__always)
    fileprivate func walk(
        _ topic: UnsafeRawBufferPointer,
        _ levels: UnsafeMutableBufferPointer<LevelTree.Level>,
        _ stack: UnsafeMutableBufferPointer<LevelTree.Branch>,
        _ body: (Int32) -> Void
    ) {
        let isReserved = topic[0] == TopicFilter.dollar
        var pending = 0
        var node = LevelTree.root
        var level = 0
        while true {
            // Wildcards in the first level match no topic that begins with $ [MQTT-4.7.2-1].
            let seesWildcards = level > 0 || !isReserved
            let multi = nodes[Int(node)].multiChild
            if multi != LevelTree.none, seesWildcards { body(multi) }
            var next = LevelTree.none
            if level == levels.count {
                if nodes[Int(node)].isHeld { body(node) }
            } else {
                let plus = nodes[Int(node)].plusChild
                if plus != LevelTree.none, seesWildcards {
                    stack[pending] = LevelTree.Branch(node: plus, level: Int32(truncatingIfNeeded: level + 1))
                    pending += 1
                }
                if nodes[Int(node)].firstChild != LevelTree.none {
                    let range = Range(uncheckedBounds: (Int(levels[level].start), Int(levels[level].end)))
                    let text = UnsafeRawBufferPointer(rebasing: topic[range])
                    next = child(of: node, text, hash: levels[level].hash)
                }
            }
            if next != LevelTree.none {
                node = next
                level += 1
            } else {
                guard pending > 0 else { return }
                pending -= 1
                node = stack[pending].node
                level = Int(stack[pending].level)
            }
        }
    }
}
