import MQTT
import NIOCore
import NIOPosix

/// The load generator: one thread that drives a broker and counts what arrives.
///
/// It keeps no payloads and decodes nothing but what it counts, so that one core of it asks more than one core of a
/// broker gives; ``BenchRound/generatorBusy`` tells where that does not hold. Functions may be called from anywhere and
/// return when the load is over.
public enum Bench {
    /// Runs a load.
    ///
    /// - Throws: ``BenchError``
    public static func run(_ settings: BenchSettings, on target: BenchTarget) async throws -> BenchResult {
        try check(settings)
        return try await withLoop { loop in
            let dialer = try await LoadDialer(loop: loop, target: target)
            let promise = loop.makePromise(of: BenchResult.self)
            let name = "bench-\(UInt32.random(in: 1...UInt32.max))"
            loop.execute {
                let run = LoadRun(settings, dialer: dialer, name: name, promise: promise)
                // Its clients do not own it: it lives until it has a result.
                let bound = NIOLoopBound(run, eventLoop: loop)
                promise.futureResult.whenComplete { _ in withExtendedLifetime(bound) {} }
                run.start()
            }
            return try await promise.futureResult.get()
        }
    }

    /// Connects many clients that stay idle, then has all of them go and come back at once.
    ///
    /// - Throws: ``BenchError``
    public static func connect(_ settings: ConnectSettings, to target: BenchTarget) async throws -> ConnectResult {
        guard 1...BenchLimits.clientsMax ~= settings.clients else {
            throw BenchError.settings("there are 1 to \(BenchLimits.clientsMax) clients")
        }
        return try await withLoop { loop in
            let dialer = try await LoadDialer(loop: loop, target: target)
            let promise = loop.makePromise(of: ConnectResult.self)
            let name = "bench-\(UInt32.random(in: 1...UInt32.max))"
            loop.execute {
                let run = ConnectRun(settings, dialer: dialer, name: name, promise: promise)
                let bound = NIOLoopBound(run, eventLoop: loop)
                promise.futureResult.whenComplete { _ in withExtendedLifetime(bound) {} }
                run.start()
            }
            return try await promise.futureResult.get()
        }
    }

    /// One thread for as long as `body` runs.
    private static func withLoop<Value: Sendable>(
        _ body: (any EventLoop) async throws -> Value
    ) async throws -> Value {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        do {
            let value = try await body(group.next())
            try await group.shutdownGracefully()
            return value
        } catch {
            try? await group.shutdownGracefully()
            throw error
        }
    }

    /// - Throws: ``BenchError/settings(_:)``
    static func check(_ settings: BenchSettings) throws(BenchError) {
        guard 1...BenchLimits.clientsMax ~= settings.clients else {
            throw .settings("there are 1 to \(BenchLimits.clientsMax) clients")
        }
        guard 0...BenchLimits.payloadBytesMax ~= settings.payloadBytes else {
            throw .settings("a payload has at most \(BenchLimits.payloadBytesMax) bytes")
        }
        guard 1...BenchLimits.roundsMax ~= settings.rounds else {
            throw .settings("there are 1 to \(BenchLimits.roundsMax) rounds")
        }
        guard settings.seconds > 0, settings.seconds <= BenchLimits.secondsMax,
            0...BenchLimits.secondsMax ~= settings.warmupSeconds
        else { throw .settings("a round has more than 0 and at most \(BenchLimits.secondsMax) seconds") }
        if settings.shape == .persistent, settings.qos == .atMostOnce {
            throw .settings("a persistent load needs QoS 1 or 2: nothing is kept with QoS 0")
        }
        switch settings.pace {
        case .window(let window):
            guard 1...BenchLimits.windowMax ~= window, window >= settings.fan else {
                throw .settings("the window has room for each subscriber, and at most \(BenchLimits.windowMax)")
            }
            guard settings.qos == .atMostOnce || window <= BenchLimits.inflightMax else {
                throw .settings("with QoS 1 and 2 the window has at most \(BenchLimits.inflightMax) messages")
            }
            guard settings.shape != .persistent else { throw .settings("a persistent load is bounded by --inflight") }
        case .inflight(let inflight):
            guard 1...BenchLimits.inflightMax ~= inflight else {
                throw .settings("from 1 to \(BenchLimits.inflightMax) messages are in flight for each client")
            }
            guard settings.shape == .pairs || settings.shape == .persistent else {
                throw .settings("--inflight is for pairs and persistent loads; give --window")
            }
        case .rate(let rate):
            guard rate > 0, rate <= BenchLimits.rateMax else {
                throw .settings("the rate is above 0 and at most \(BenchLimits.rateMax) messages each second")
            }
            guard settings.payloadBytes >= 8 else { throw .settings("a load at a rate needs 8 bytes of payload") }
            guard settings.shape != .persistent else { throw .settings("a persistent load has no rate") }
        }
    }
}
