import MQTT
import Testing

@testable import Bench

@Suite struct PaceTests {
    @Test func `messages at a rate are due evenly, and all that were missed are due at once`() {
        var schedule = OpenLoopSchedule(start: 1_000, perSecond: 1_000_000)
        #expect(schedule.next(before: 999) == nil)
        #expect(schedule.next(before: 1_000) == 1_000)
        #expect(schedule.next(before: 1_999) == nil)
        var due: [UInt64] = []
        while let next = schedule.next(before: 5_000) { due.append(next) }
        #expect(due == [2_000, 3_000, 4_000, 5_000])
        #expect(schedule.nextDue == 6_000)
    }

    @Test func `a rate does not drift over a long time`() {
        var schedule = OpenLoopSchedule(start: 0, perSecond: 3)
        var count = 0
        while schedule.next(before: 3_600_000_000_000) != nil { count += 1 }
        #expect(count == 3 * 3_600 + 1)
    }

    @Test func `a latency counts in the round in which the message was due, and from that moment`() {
        var recorder = LatencyRecorder(start: 1_000_000, roundNanoseconds: 1_000_000, rounds: 2)
        // Of the warm-up, and after the last round.
        recorder.record(dueNanoseconds: 999_999, now: 2_000_000)
        recorder.record(dueNanoseconds: 3_000_000, now: 3_000_500)
        // A broker that stood still: ten messages were due while it did, and all of them waited.
        for index in 0..<10 as Range<UInt64> {
            recorder.record(dueNanoseconds: 1_000_000 + index * 100_000, now: 51_000_000)
        }
        recorder.record(dueNanoseconds: 2_500_000, now: 2_520_000)
        let (first, second) = (recorder.summary(round: 0), recorder.summary(round: 1))
        #expect(first.count == 10)
        #expect(second.count == 1)
        // Three significant digits.
        #expect(abs(first.largest - 50_000) <= 50)
        #expect(abs(first.p50 - 49_600) <= 100)
        #expect(abs(second.p99 - 20) <= 0.2)
    }

    @Test func `what a histogram cannot tell apart counts as its largest`() {
        var recorder = LatencyRecorder(start: 0, roundNanoseconds: 1_000_000, rounds: 1)
        recorder.record(dueNanoseconds: 0, now: .max)
        let largest = recorder.summary(round: 0).largest
        #expect(abs(largest - Double(BenchLimits.latencyNanosecondsMax) / 1_000) < largest / 500)
    }

    @Test func `the figure of a load is its middle round`() {
        func result(_ rates: [Double]) -> BenchResult {
            BenchResult(
                rounds: rates.map {
                    BenchRound(seconds: 1, count: 1, perSecond: $0, lost: 2, refused: 0, generatorBusy: 0)
                }
            )
        }
        #expect(result([9, 1, 5]).medianPerSecond == 5)
        #expect(result([9, 1, 5, 7]).medianPerSecond == 6)
        #expect(result([]).medianPerSecond == 0)
        #expect(result([1, 2, 3]).lost == 6)
        #expect(BenchResult(rounds: [], acknowledged: 10, kept: 7).lost == 3)
        #expect(BenchResult(rounds: [], acknowledged: 10, kept: 12).lost == 0)
    }

    @Test(
        "settings that make no sense are refused",
        arguments: [
            settings(clients: 0), settings(clients: BenchLimits.clientsMax + 1), settings(payload: -1),
            settings(rounds: 0), settings(seconds: 0), settings(pace: .window(0)),
            settings(shape: .fanOut, clients: 50, pace: .window(49)), settings(shape: .fanIn, pace: .inflight(20)),
            settings(qos: .atLeastOnce, pace: .window(BenchLimits.inflightMax + 1)), settings(pace: .rate(0)),
            settings(payload: 7, pace: .rate(10)), settings(shape: .persistent, pace: .inflight(20)),
            settings(shape: .persistent, qos: .atLeastOnce, pace: .rate(10)),
            settings(shape: .persistent, qos: .atLeastOnce, pace: .window(100)),
        ]
    )
    func refused(settings: BenchSettings) {
        #expect(throws: BenchError.self) { try Bench.check(settings) }
    }

    @Test func `settings that make sense are taken`() throws {
        try Bench.check(Self.settings())
        try Bench.check(Self.settings(shape: .persistent, qos: .exactlyOnce, pace: .inflight(20)))
        try Bench.check(Self.settings(shape: .fanOut, clients: 50, pace: .window(50)))
        try Bench.check(Self.settings(payload: 8, pace: .rate(20_000)))
    }

    private static func settings(
        shape: BenchShape = .pairs,
        clients: Int = 2,
        qos: QoS = .atMostOnce,
        payload: Int = 64,
        pace: BenchPace = .window(100),
        seconds: Double = 1,
        rounds: Int = 1
    ) -> BenchSettings {
        BenchSettings(
            shape: shape,
            clients: clients,
            qos: qos,
            payloadBytes: payload,
            pace: pace,
            seconds: seconds,
            rounds: rounds
        )
    }
}
