import Broker
import MQTT

/// A kind of fault that a world may have.
public enum Trouble: String, CaseIterable, Sendable {
    /// The broker's process dies.
    case kill
    /// The power goes.
    case power
    /// The broker is stopped and started in good order.
    case stop
    /// A connection breaks.
    case cut
    /// A connection goes dead without a word.
    case halfOpen = "half-open"
    /// A connection is held back for a while.
    case stall
    /// Nobody can connect for a while.
    case partition
    /// The wall clock is set.
    case wall
    /// The rules change.
    case rules
    /// A call of the disk fails.
    case disk
    /// The disk is full for a while.
    case full
}

/// What one world is like, all drawn from its seed: each has its own mix of faults, so that some are rare in one and
/// common in another.
struct Plan {
    /// How often each kind of fault comes, in shares.
    var troubles: [(trouble: Trouble, share: Int)] = []
    /// Nanoseconds between two faults.
    var troubleEvery: ClosedRange<UInt64>
    var configuration = BrokerConfiguration()
    var machine = Machine.Setup(name: "site")
    var weather = Link.Weather()
    var devices: [Device.Traits] = []
    /// Nanoseconds between two decisions of a handler.
    var decisionEvery: ClosedRange<UInt64> = 20 * Time.millisecond...200 * Time.millisecond
    /// Nanoseconds that a process is down.
    var downtime: ClosedRange<UInt64> = Time.millisecond...300 * Time.millisecond

    init(_ kernel: Kernel, without: Set<Trouble>) {
        for trouble in Trouble.allCases {
            let share = kernel.chance(perMille: 350) ? 0 : kernel.draw(1...10)
            if !without.contains(trouble) { troubles.append((trouble, share)) }
        }
        let pause = kernel.draw(5...150) * Time.millisecond
        troubleEvery = pause / 4...pause * 2
        drawConfiguration(kernel)
        drawMachine(kernel)
        weather.piecesMax = kernel.draw(1...6)
        weather.latency = 20 * Time.microsecond...kernel.draw(1...20) * Time.millisecond
        drawDevices(kernel)
    }

    private mutating func drawConfiguration(_ kernel: Kernel) {
        configuration.inflightMessagesMax = kernel.draw(2...8)
        configuration.queuedResidentBytesMax = kernel.pick([200, 2_000, 1 << 20])
        configuration.loadBatchMessages = kernel.draw(2...6)
        configuration.releasesQoS2OnPubrel = kernel.chance(perMille: 300)
        configuration.followsMosquitto = kernel.chance(perMille: 200)
        configuration.retainedMessagesPerTurn = kernel.pick([2, 1_000])
        configuration.bookkeepingRecordBytesMax = kernel.pick([64, 64 * 1_024])
        configuration.accessSweepSessions = kernel.pick([2, 65_536])
        configuration.routeCacheEntriesMax = kernel.pick([2, 4_096])
        configuration.receiveMaximum = kernel.pick([5, 256])
        configuration.systemIntervalSeconds = 0
    }

    private mutating func drawMachine(_ kernel: Kernel) {
        machine.checkpointBytes = kernel.pick([2, 8, 40]) * 1_024
        machine.drift = kernel.draw(-500...500)
        machine.diskLatency = 20 * Time.microsecond...kernel.pick([1, 5, 40]) * Time.millisecond
        machine.spares = kernel.draw(0...2)
    }

    private mutating func drawDevices(_ kernel: Kernel) {
        let publishers = kernel.draw(1...3)
        let pace = 2 * Time.millisecond...kernel.pick([20, 60]) * Time.millisecond
        for number in 0..<publishers {
            var publisher = Device.Traits(name: "publisher\(number)", publisher: number)
            publisher.version = kernel.pick([.v3_1, .v3_1_1, .v5, .v5])
            publisher.isPersistent = number == 0 || kernel.chance(perMille: 750)
            publisher.hasWill = kernel.chance(perMille: 500)
            publisher.pace = pace
            devices.append(publisher)
        }
        func want(_ filter: String, _ qos: QoS, isFickle: Bool = false) -> Device.Want {
            Device.Want(filter: filter, qos: qos, isFickle: isFickle)
        }
        func add(_ name: String, _ wants: [Device.Want], _ change: (inout Device.Traits) -> Void = { _ in }) {
            var traits = Device.Traits(name: name, subscriptions: wants)
            traits.version = kernel.pick([.v3_1_1, .v5])
            traits.slowness = kernel.pick([0, 100, 600])
            if traits.version == .v5, kernel.chance(perMille: 500) { traits.receiveMaximum = kernel.draw(1...4) }
            traits.hasWill = kernel.chance(perMille: 300)
            traits.pace = 10 * Time.millisecond...100 * Time.millisecond
            change(&traits)
            devices.append(traits)
        }
        add("keeper", [want("t/#", .exactlyOnce), want("w/#", .exactlyOnce)]) { $0.username = Rules.resident }
        add(
            "mixed",
            [want("t/+/0", .atLeastOnce), want("t/+/1", .exactlyOnce, isFickle: true), want("r/#", .atLeastOnce)]
        )
        add("visitor", (0..<publishers).map { want("t/\($0)/#", .exactlyOnce) } + [want("t/h", .exactlyOnce)]) {
            $0.username = Rules.visitor
        }
        add("passer", [want("t/#", kernel.pick([.atMostOnce, .atLeastOnce])), want("w/#", .exactlyOnce)]) {
            $0.isPersistent = false
        }
        add("prober", [want("r/#", kernel.pick([.atMostOnce, .atLeastOnce, .exactlyOnce]))]) {
            $0.isPersistent = false
            $0.hasWill = false
        }
        for number in 0..<kernel.draw(1...3) {
            add("member\(number)", [want(History.sharedFilter, .exactlyOnce, isFickle: true)])
        }
    }
}
