/// Commits a journal's records when its owner says so, in place of the journal's thread.
///
/// Made by ``Journal/openStepped(_:disk:onCommit:)``. Confined to one thread; `onCommit` is called on it. The code that
/// runs is that of the thread, without its waiting.
public final class JournalStepper {
    private let loop: CommitLoop
    private let writer: SegmentWriter
    private var progress = CommitLoop.Progress()
    /// Whether the journal was closed or has failed: further steps do nothing.
    public private(set) var isOver = false

    init(_ loop: CommitLoop, _ writer: SegmentWriter) {
        self.loop = loop
        self.writer = writer
    }

    /// Writes and syncs what was appended since the last step as one group, tries again what waited for room, or, after
    /// ``Journal/close()``, ends the journal. Blocks for the disk.
    ///
    /// - Returns: Whether the journal goes on.
    @discardableResult
    public func step() -> Bool {
        guard !isOver else { return false }
        isOver = !loop.step(writer, &progress)
        return !isOver
    }
}
