import Foundation
import Journal
import Repeatable
import Synchronization
import TestSupport
import Testing

/// Collects a journal's notices and waits for them, with a deadline.
final class NoticeLog: Sendable {
    private struct State: Sendable {
        var committed: [UInt64] = []
        var stalled: [JournalError] = []
        var short: [JournalError] = []
        var relieved = 0
        var failed: [JournalError] = []
        var afterFailure = 0
    }

    private let state = Mutex(State())
    private let signal = DispatchSemaphore(value: 0)

    var onCommit: @Sendable (CommitNotice) -> Void {
        { notice in
            self.state.withLock { state in
                if !state.failed.isEmpty { state.afterFailure += 1 }
                switch notice {
                case .committed(let sequence): state.committed.append(sequence)
                case .stalled(let error): state.stalled.append(error)
                case .short(let error): state.short.append(error)
                case .relieved: state.relieved += 1
                case .failed(let error): state.failed.append(error)
                }
            }
            self.signal.signal()
        }
    }

    var committed: [UInt64] { state.withLock { $0.committed } }
    var through: UInt64 { committed.last ?? 0 }
    var stalled: [JournalError] { state.withLock { $0.stalled } }
    var short: [JournalError] { state.withLock { $0.short } }
    var relieved: Int { state.withLock { $0.relieved } }
    var failed: [JournalError] { state.withLock { $0.failed } }
    var noticesAfterFailure: Int { state.withLock { $0.afterFailure } }

    /// Waits until the condition holds. False after ten seconds.
    @discardableResult
    func wait(until condition: (NoticeLog) -> Bool) -> Bool {
        let deadline = DispatchTime.now() + .seconds(10)
        while !condition(self) {
            guard signal.wait(timeout: deadline) == .success else { return condition(self) }
        }
        return true
    }

    /// Waits until a record is committed, or never will be.
    @discardableResult
    func waitForCommit(of sequence: UInt64) -> Bool {
        wait { $0.through >= sequence || !$0.failed.isEmpty } && through >= sequence
    }
}

/// A journal on a faulty disk, with what tests know about it.
struct TestJournal {
    static let directory = "/journal"

    let journal: Journal
    let recovery: Recovery
    let log: NoticeLog

    static func configuration(_ change: (inout Journal.Configuration) -> Void = { _ in }) -> Journal.Configuration {
        var configuration = Journal.Configuration(directory: directory)
        configuration.segmentBytes = Journal.Configuration.minSegmentBytes
        configuration.identity = JournalIdentity(high: 0x0123_4567_89ab_cdef, low: 0xfedc_ba98_7654_3210)
        configuration.stallRetryMilliseconds = 5
        configuration.wallMilliseconds = { 1_000_000 }
        change(&configuration)
        return configuration
    }

    static func open(
        _ disk: any Disk,
        _ change: (inout Journal.Configuration) -> Void = { _ in }
    ) throws -> TestJournal {
        let log = NoticeLog()
        let opened = try Journal.open(configuration(change), disk: disk, onCommit: log.onCommit)
        return TestJournal(journal: opened.journal, recovery: opened.recovery, log: log)
    }

    /// Appends payloads as one batch and returns the last sequence.
    @discardableResult
    func append(_ payloads: [[UInt8]]) -> UInt64 {
        let first = journal.nextSequence
        var bytes: [UInt8] = []
        var ends: [Int] = []
        for payload in payloads {
            bytes += payload
            ends.append(bytes.count)
        }
        journal.append(firstSequence: first, bytes: bytes, ends: ends)
        return first + UInt64(payloads.count) - 1
    }

    /// Everything that can be read.
    func readAll(from sequence: UInt64 = 1) throws -> [UInt64: [UInt8]] {
        var result: [UInt64: [UInt8]] = [:]
        var last: UInt64 = 0
        try journal.read(from: sequence, maxBytes: .max) { sequence, payload in
            #expect(sequence > last, "records come in order")
            last = sequence
            result[sequence] = Array(payload)
            return true
        }
        return result
    }
}

/// A payload that tells which record of which life it is.
func payload(_ sequence: UInt64, life: Int = 0, bytes: Int) -> [UInt8] {
    var random = SeededRandom(seed: sequence &* 1_000_003 &+ UInt64(life))
    return (0..<bytes).map { _ in UInt8.random(in: 0...255, using: &random) }
}
