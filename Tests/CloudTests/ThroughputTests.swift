import Foundation
import Testing

@testable import Cloud

@Suite struct ThroughputTests {
    /// Prints the figure; fails only if it is far below what any disk of this century gives.
    @Test(.timeLimit(.minutes(2))) func `100,000 messages of 50 sites are stored in batches of 500, each durable`()
        throws
    {
        let folder = try TemporaryFolder()
        let store = SQLiteStore(path: folder.file("cloud.db"))
        var pump = CommitPump(store: store, configuration: AggregatorConfiguration())
        try pump.load()
        let total = 100_000
        let payload = #"{"value":17.25,"unit":"mmol/L","device":"cgm-0042","trend":"steady"}"#
        let messages = (0..<total).map { index in
            message(UInt64(index / 50) + 1, site: "store-\(index % 50)", topic: "ward/3/bed/7/cgm", payload: payload)
        }
        let clock = ContinuousClock()
        let elapsed = try clock.measure {
            for start in stride(from: 0, to: total, by: 500) {
                _ = try pump.commit(Array(messages[start..<start + 500]), milliseconds: noon)
            }
        }
        let seconds = Double(elapsed.components.seconds) + Double(elapsed.components.attoseconds) / 1e18
        print("Cloud ingest: \(Int(Double(total) / seconds)) rows/s in transactions of 500 (synchronous FULL)")
        #expect(pump.state.cursors.values.allSatisfy { $0.watermark == 2_000 })
        #expect(seconds < 60)
    }
}
