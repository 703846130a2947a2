/// Brings messages into a store so that memory and store agree whatever fails: loads, decides, commits, adopts.
///
/// After a failure it knows nothing until it has loaded again. The caller gives the same messages again until they
/// are committed; a batch whose commit failed to report is recognised by its cursors and not counted twice.
struct CommitPump {
    /// What is known; as of the last successful step.
    private(set) var state = IngestState()
    /// Whether the state is the store's.
    private(set) var isLoaded = false

    private let store: any Store
    private let configuration: AggregatorConfiguration
    private var unreported: IngestBatch?

    init(store: any Store, configuration: AggregatorConfiguration) {
        self.store = store
        self.configuration = configuration
    }

    /// Loads the state unless it is loaded.
    mutating func load() throws(StoreError) {
        guard !isLoaded else { return }
        let loaded = try store.load()
        state = IngestState(
            cursors: loaded.cursors,
            streams: loaded.streams,
            sitesMax: configuration.sitesMax,
            missingRangesMax: configuration.missingRangesMax
        )
        isLoaded = true
    }

    /// Commits messages. Throws if they are not stored, or may not be; then call it again with the same ones.
    mutating func commit(_ messages: [IngestMessage], milliseconds: Int64) throws(StoreError) -> IngestBatch {
        try load()
        if let batch = unreported {
            unreported = nil
            if state.contains(batch) { return batch }
        }
        let batch = state.makeBatch(of: messages, milliseconds: milliseconds)
        do {
            try store.commit(batch)
        } catch {
            isLoaded = false
            unreported = batch
            throw error
        }
        state.adopt(batch)
        return batch
    }

    /// Lets the store go.
    mutating func close() {
        isLoaded = false
        store.close()
    }
}
