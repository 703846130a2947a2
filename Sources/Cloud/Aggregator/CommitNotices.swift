/// Which sites are to be told how far their stream is stored. A site waits here once, however often it sends;
/// what it is told is looked up when it is told.
struct CommitNotices {
    private var waiting: [String] = []
    private var isWaiting: Set<String> = []
    private var next = 0

    /// Whether no site waits.
    var isEmpty: Bool { isWaiting.isEmpty }

    /// Adds sites.
    mutating func add(_ sites: some Sequence<String>) {
        for site in sites where isWaiting.insert(site).inserted { waiting.append(site) }
    }

    /// Offers waiting sites in order, at most `limit`, until `send` refuses one.
    mutating func flush(limit: Int, _ send: (String) -> Bool) {
        var left = limit
        while left > 0, next < waiting.count {
            let site = waiting[next]
            guard send(site) else { return }
            isWaiting.remove(site)
            next += 1
            left -= 1
        }
        if next == waiting.count {
            waiting.removeAll(keepingCapacity: true)
            next = 0
        }
    }

    /// Forgets all.
    mutating func removeAll() { self = CommitNotices() }
}
