import Foundation
import GRDB
import Logging
import MosquittoClient
import Synchronization

@testable import Cloud

/// The seed of this run: a new one each time, or that of `CW_SEED` to repeat a failure.
let runSeed: UInt64 = {
    let given = ProcessInfo.processInfo.environment["CW_SEED"].flatMap(UInt64.init)
    let seed = given ?? UInt64.random(in: 1...UInt64(UInt32.max))
    FileHandle.standardError.write(Data("CloudTests: CW_SEED=\(seed)\n".utf8))
    return seed
}()

/// A folder that is removed with the object.
final class TemporaryFolder: Sendable {
    let path: String

    init() throws {
        path = FileManager.default.temporaryDirectory.appendingPathComponent("cw-cloud-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    func file(_ name: String) -> String { path + "/" + name }
}

func quietLogger() -> Logger {
    Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
}

let noon: Int64 = 1_763_812_800_000  // 2025-11-22 12:00:00 UTC

func message(
    _ sequence: UInt64,
    site: String = "store-1",
    epoch: UInt64 = 1,
    topic: String = "sales/1",
    payload: String = #"{"value":1}"#,
    event: Int64 = noon,
    drop: PolicyDrop? = nil
) -> IngestMessage {
    IngestMessage(
        site: site,
        epoch: epoch,
        sequence: sequence,
        topic: topic,
        messageClass: drop == nil ? "telemetry" : "gap",
        payload: Array(payload.utf8),
        eventMilliseconds: event,
        receivedMilliseconds: noon + 1_000,
        drop: drop
    )
}

/// Waits until a condition holds; false when the deadline passes first.
func eventually(seconds: Double = 10, _ condition: () -> Bool) async -> Bool {
    let deadline = ContinuousClock.now + .seconds(seconds)
    while !condition() {
        guard ContinuousClock.now < deadline else { return false }
        await Task.yield()
        try? await Task.sleep(for: .milliseconds(2))
    }
    return true
}

/// Damages a database as only a person with a shell would.
func deleteOneRow(path: String) throws {
    try DatabaseQueue(path: path).write { db in
        try db.execute(sql: "DELETE FROM messages WHERE site = 'ward-7' AND epoch = 4")
    }
}
