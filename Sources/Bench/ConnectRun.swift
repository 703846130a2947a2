import Histogram
import NIOCore

/// Connections without messages.
public struct ConnectSettings: Sendable {
    /// How many.
    public var clients: Int
    /// Seconds that they stay idle, before each storm and at the end.
    public var idleSeconds: Double
    /// How often all of them go at once, without a word, and come back at once.
    public var storms: Int
    /// Seconds after which a client that is not back counts as dropped.
    public var deadlineSeconds: Double

    /// Makes settings.
    public init(clients: Int, idleSeconds: Double = 1, storms: Int = 0, deadlineSeconds: Double = 60) {
        self.clients = clients
        self.idleSeconds = idleSeconds
        self.storms = storms
        self.deadlineSeconds = deadlineSeconds
    }
}

/// How all clients came, the first time or in a storm.
public struct ConnectWave: Codable, Sendable, Hashable {
    /// From the first attempt until the last client had its CONNACK, or the deadline.
    public var seconds: Double
    /// Clients that had their CONNACK.
    public var connected: Int
    /// Clients that were not there by the deadline.
    public var dropped: Int
    /// Attempts beyond the first of each client.
    public var retries: Int
    /// From the beginning of the wave to each CONNACK.
    public var latency: BenchLatency
}

/// What the connections did.
public struct ConnectResult: Codable, Sendable {
    /// The first connections, a few at a time.
    public var first: ConnectWave
    /// The storms: all at once.
    public var storms: [ConnectWave]
    /// Connections that were lost while they were idle.
    public var lostWhileIdle: Int
}

/// Connects, waits, and storms. Confined to one loop, made on it.
final class ConnectRun: LoadClientOwner {
    let settings: ConnectSettings
    private let dialer: LoadDialer
    private let name: String
    private let promise: EventLoopPromise<ConnectResult>
    private let counts = LoadCounts()

    /// By the number of the client; nil while it is not connecting or connected.
    private var clients: [LoadClient?]
    private var numbers: [ObjectIdentifier: Int] = [:]
    private var attempts: [Int]
    private var waiting: [Int] = []
    private var connecting = 0
    private var connectingMax = BenchLimits.connectingMax
    private var connected = 0
    private var retries = 0
    private var begun = NIODeadline.now()
    private var wave = 0
    private var waveIsOver = false
    private var isIdle = false
    private var histogram = ConnectRun.emptyHistogram()
    private var waves: [ConnectWave] = []
    private var lostWhileIdle = 0
    private var isDone = false

    init(_ settings: ConnectSettings, dialer: LoadDialer, name: String, promise: EventLoopPromise<ConnectResult>) {
        self.settings = settings
        self.dialer = dialer
        self.name = name
        self.promise = promise
        clients = Array(repeating: nil, count: settings.clients)
        attempts = Array(repeating: 0, count: settings.clients)
    }

    private static func emptyHistogram() -> Histogram<UInt32> {
        Histogram(
            lowestDiscernibleValue: 100,
            highestTrackableValue: BenchLimits.latencyNanosecondsMax,
            numberOfSignificantValueDigits: .three
        )
    }

    /// Connects everyone, a few at a time.
    func start() {
        beginWave()
        connectMore()
    }

    private func beginWave() {
        histogram = Self.emptyHistogram()
        connected = 0
        retries = 0
        connecting = 0
        isIdle = false
        waveIsOver = false
        begun = .now()
        attempts = Array(repeating: 0, count: settings.clients)
        waiting = Array((0..<settings.clients).reversed())
        let number = wave
        schedule(in: .nanoseconds(Int64(settings.deadlineSeconds * 1e9))) { run in
            if run.wave == number { run.endWave() }
        }
    }

    private func connectMore() {
        while connecting < connectingMax, let number = waiting.popLast() {
            connecting += 1
            dial(number)
        }
    }

    private func dial(_ number: Int) {
        do throws(BenchError) {
            let purpose = LoadClient.Purpose(clientID: "\(name)-\(number)")
            let client = try LoadClient(purpose, target: dialer.target, counts: counts, owner: self)
            clients[number] = client
            numbers[ObjectIdentifier(client)] = number
            if attempts[number] > 0 { retries += 1 }
            attempts[number] += 1
            dialer.dial(client)
        } catch {
            promise.fail(error)
        }
    }

    func isReady(_ client: LoadClient) {
        connecting -= 1
        connected += 1
        let nanoseconds = UInt64(max(0, (NIODeadline.now() - begun).nanoseconds))
        histogram.record(min(nanoseconds, BenchLimits.latencyNanosecondsMax))
        connectMore()
        if connected == settings.clients { endWave() }
    }

    func hasProgress() {}

    func failed(_ client: LoadClient, _ error: BenchError) {
        guard !isDone, let number = numbers.removeValue(forKey: ObjectIdentifier(client)) else { return }
        clients[number] = nil
        if isIdle {
            lostWhileIdle += 1
            return
        }
        guard !waveIsOver else { return }
        connecting -= 1
        // As a device does: again after a while that doubles, and that differs from its neighbours'.
        let exponent = min(attempts[number], 6)
        let milliseconds = Int64.random(in: 0...(100 << exponent))
        let current = wave
        schedule(in: .milliseconds(milliseconds)) { run in
            guard run.wave == current, !run.waveIsOver else { return }
            run.waiting.append(number)
            run.connectMore()
        }
    }

    private func endWave() {
        guard !waveIsOver, !isDone else { return }
        waveIsOver = true
        isIdle = true
        waves.append(
            ConnectWave(
                seconds: Double((NIODeadline.now() - begun).nanoseconds) / 1e9,
                connected: connected,
                dropped: settings.clients - connected,
                retries: retries,
                latency: BenchLatency(histogram)
            )
        )
        schedule(in: .nanoseconds(Int64(settings.idleSeconds * 1e9))) { run in run.continueOrFinish() }
    }

    private func continueOrFinish() {
        guard wave < settings.storms else { return finish() }
        wave += 1
        closeAll(politely: false)
        connectingMax = settings.clients
        beginWave()
        connectMore()
    }

    private func closeAll(politely: Bool) {
        isIdle = false
        waveIsOver = true
        for index in clients.indices {
            clients[index]?.close(politely: politely)
            clients[index] = nil
        }
        numbers.removeAll(keepingCapacity: true)
    }

    private func finish() {
        isDone = true
        closeAll(politely: true)
        let storms = Array(waves.dropFirst())
        promise.succeed(ConnectResult(first: waves.removeFirst(), storms: storms, lostWhileIdle: lostWhileIdle))
    }

    private func schedule(in time: TimeAmount, _ action: @escaping (ConnectRun) -> Void) {
        let bound = NIOLoopBound((self, action), eventLoop: dialer.loop)
        dialer.loop.scheduleTask(in: time) {
            let (run, action) = bound.value
            action(run)
        }
    }
}
