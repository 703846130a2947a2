import Broker
import Journal
import MQTT
import NIOCore
import TestSupport

/// A site with its clients, and everything that happens to them, by one seed.
final class World: Network {
    /// What it is made of.
    struct Order {
        var seed: UInt64
        var steps: Int
        var plant: Plant?
        var without: Set<Trouble> = []
        var printsTrace = false
    }

    let order: Order
    let kernel: Kernel
    let plan: Plan
    let rules: Rules
    let history: History
    let site: Machine
    private(set) var devices: [Device] = []
    private var links: [Link] = []
    private var linkCount = 0
    private var blockedUntil: UInt64 = 0
    private var isResting = false
    private var decisions: [Int] = []

    private static let journalDirectory = "/site/journal"
    private static let handler = "h"

    init(_ order: Order) {
        self.order = order
        kernel = Kernel(seed: order.seed, trace: Trace(prints: order.printsTrace))
        plan = Plan(kernel, without: order.without)
        rules = Rules(forgetsToAsk: order.plant == .openGate)
        history = History(kernel, rules)
        site = Machine(kernel, plan.machine)
        kernel.trace.note(.start)
        kernel.trace.say("\(plan)")
        site.start = { [unowned self] in start($0) }
        site.onPowerFailure = { [unowned self] in
            history.counts.powerCuts += 1
            planBoot()
        }
        history.onJournalFailure = { [unowned self] in planRestart() }
        _ = site.boot()
        for traits in plan.devices {
            let device = Device(kernel, traits, self, history)
            devices.append(device)
            history.add(device)
        }
        kernel.within(plan.troubleEvery) { [weak self] in self?.trouble() }
        kernel.within(plan.decisionEvery) { [weak self] in self?.decide() }
    }

    /// Lives through its steps, comes to rest and is looked at.
    func run() -> Outcome {
        var steps = 0
        while steps < order.steps, history.violations.isEmpty, kernel.step() { steps += 1 }
        if history.violations.isEmpty { settle() }
        history.counts.events = Int(kernel.trace.count)
        history.counts.milliseconds = Int(kernel.now / Time.millisecond)
        site.process?.die { _ in }
        kernel.end()
        return Outcome(
            seed: order.seed,
            hash: kernel.trace.hash,
            violations: history.violations,
            counts: history.counts
        )
    }

    // MARK: - The broker

    private func start(_ machine: Machine) -> BrokerProcess? {
        var configuration = Journal.Configuration(directory: Self.journalDirectory)
        configuration.segmentBytes = Journal.Configuration.minSegmentBytes
        configuration.identity = JournalIdentity(high: order.seed, low: 1)
        configuration.maxBytes = machine.setup.journalBytesMax
        configuration.maxSpares = machine.setup.spares
        let clock = WallBox(machine)
        configuration.wallMilliseconds = { clock.milliseconds }
        do {
            let disk: any Disk = order.plant == .noSync ? UnsyncedDisk(machine.disk) : machine.disk
            let opened = try OpenedJournal(configuration, disk)
            if opened.recovery.isDamaged {
                let found = "lost \(opened.recovery.lost), \(opened.recovery.damage)"
                history.fail(0, "the journal is damaged: \(found)")
            }
            let core = BrokerCore(configuration: plan.configuration, authorizer: rules)
            let process = BrokerProcess(machine, core, opened, history, plant: order.plant)
            try recover(core, opened)
            core.finishRecovery(nextSequence: opened.recovery.nextSequence, now: process.time)
            process.begin()
            let (recovery, statistics) = (opened.recovery, core.statistics)
            kernel.trace.say(
                "  recovered \(recovery.firstSequence)..<\(recovery.nextSequence)"
                    + " after checkpoint \(recovery.checkpoint?.sequence ?? 0): \(statistics.sessions) sessions,"
                    + " \(statistics.subscriptions) subscriptions, \(statistics.queuedMessages) queued"
            )
            recovered(core)
            return machine.lookAtPower() ? process : nil
        } catch {
            guard !machine.disk.isOff else { return nil }
            kernel.trace.say("the journal cannot be opened: \(error)")
            return nil
        }
    }

    private func recover(_ core: BrokerCore, _ opened: OpenedJournal) throws {
        if let checkpoint = opened.recovery.checkpoint {
            try core.recover(checkpoint: ByteBuffer(bytes: checkpoint.bytes))
        }
        let first = (opened.recovery.checkpoint?.sequence ?? 0) + 1
        var failure: (any Error)?
        let last = opened.recovery.nextSequence - 1
        try opened.journal.read(from: first, maxBytes: .max) { sequence, payload in
            if order.plant == .skippedRecord, sequence == last { return true }
            do {
                try core.recover(record: ByteBuffer(bytes: payload), sequence: sequence)
                return true
            } catch {
                failure = error
                return false
            }
        }
        if let failure { throw failure }
    }

    private func planBoot() {
        kernel.within(plan.downtime) { [weak self] in
            guard let self, site.process == nil else { return }
            guard !site.boot(), !site.disk.isOff else { return }
            // No room to start with, perhaps: an operator tries again.
            planBoot()
        }
    }

    /// The journal has failed: an operator looks at the disk and starts the process again.
    private func planRestart() {
        kernel.within(plan.downtime) { [weak self] in
            guard let self, let process = site.process, process.hasFailed else { return }
            history.counts.kills += 1
            site.kill()
            planBoot()
        }
    }

    // MARK: - Handlers

    /// A handler decides about one more input. What it publishes is promised once its record is on the disk.
    private func decide() {
        guard !isResting else { return }
        kernel.within(plan.decisionEvery) { [weak self] in self?.decide() }
        guard let process = site.process, !process.hasFailed else { return }
        let qos = kernel.pick([QoS.atLeastOnce, .exactlyOnce])
        let message = history.publish(Self.handler, "t/h", qos, retain: false, clears: false)
        decisions.append(message.number)
        history.counts.decisions += 1
        kernel.trace.note(.decision, decisions.count, message.number)
        let output = HandlerCommit.Output(
            topic: TopicName(uncheckedBytes: ByteBuffer(string: message.topic)),
            payload: message.payload,
            qos: qos,
            retain: false,
            properties: []
        )
        let commit = HandlerCommit(
            handler: Self.handler,
            position: MessageReference(record: UInt64(decisions.count), index: 0),
            key: "k",
            state: message.payload,
            outputs: [output],
            decision: nil
        )
        process.turn { $0.submit(commit, now: $1, effects: &$2) }
    }

    /// The handler goes on from its position on the disk: what it decided after that, it never did.
    private func recovered(_ core: BrokerCore) {
        let known = Int(core.recoveredHandlers[Self.handler]?.position.record ?? 0)
        guard known <= decisions.count else {
            history.fail(4, "a handler has decided about \(known) inputs of \(decisions.count)")
            return
        }
        for number in decisions[..<known] where history.messages[number].fate != .acknowledged {
            history.decide(number, isDecided: true)
        }
        for number in decisions[known...] { history.decide(number, isDecided: false) }
        decisions.removeSubrange(known...)
    }

    // MARK: - The network

    func connect(_ client: any LinkEnd, named name: String) -> Link? {
        guard kernel.now >= blockedUntil, let process = site.process else { return nil }
        links.removeAll { $0.isBroken }
        linkCount += 1
        let link = Link(number: linkCount, kernel: kernel, weather: plan.weather)
        links.append(link)
        process.accept(link, from: client, named: name, policy: ListenerPolicy())
        return link
    }

    // MARK: - Trouble

    private func trouble() {
        guard !isResting else { return }
        kernel.within(plan.troubleEvery) { [weak self] in self?.trouble() }
        let sum = plan.troubles.reduce(0) { $0 + $1.share }
        guard sum > 0 else { return }
        var place = kernel.draw(0...(sum - 1))
        for (trouble, share) in plan.troubles {
            place -= share
            guard place < 0 else { continue }
            make(trouble)
            return
        }
    }

    private func make(_ trouble: Trouble) {
        switch trouble {
        case .kill where site.process != nil:
            history.counts.kills += 1
            site.kill()
            planBoot()
        case .power: cutPower()
        case .stop where site.process?.hasFailed == false && kernel.chance(perMille: 300):
            history.counts.stops += 1
            site.stop()
            planBoot()
        case .cut:
            guard let link = anyLink() else { return }
            history.counts.cuts += 1
            link.cut(heard: 0...50 * Time.millisecond)
        case .halfOpen:
            guard kernel.chance(perMille: 300), let link = anyLink() else { return }
            history.counts.halfOpen += 1
            link.die()
        case .stall:
            history.counts.stalls += 1
            anyLink()?.stall(for: kernel.draw(1...500) * Time.millisecond)
        case .partition where kernel.chance(perMille: 200):
            history.counts.partitions += 1
            let length = kernel.draw(1...2_000) * Time.millisecond
            blockedUntil = kernel.now + length
            for link in links where !link.isBroken { link.stall(for: length) }
        case .wall:
            history.counts.wallJumps += 1
            site.setWall(by: kernel.draw(-3...3) * kernel.pick([1, 60, 86_400]) * 1_000)
        case .rules: changeRules()
        case .disk where kernel.chance(perMille: 200):
            history.counts.diskFailures += 1
            site.disk.fail(call: site.disk.calls + kernel.draw(1...4), code: Self.inputOutputError)
        case .full where kernel.chance(perMille: 300): fillDisk()
        default: break
        }
    }

    private static let inputOutputError: Int32 = 5

    private func anyLink() -> Link? {
        let whole = links.filter { !$0.isBroken }
        return whole.isEmpty ? nil : kernel.pick(whole)
    }

    /// Now, or in the middle of a call that the disk is about to get.
    private func cutPower() {
        guard site.process != nil else { return }
        if kernel.chance(perMille: 600) {
            site.disk.cutPower(atCall: site.disk.calls + kernel.draw(1...6))
            return
        }
        history.counts.powerCuts += 1
        site.cutPower()
        planBoot()
    }

    private func fillDisk() {
        history.counts.fullDisks += 1
        kernel.trace.note(.diskFull)
        site.disk.spaceLimit = kernel.draw(0...64 * 1_024)
        kernel.within(100 * Time.millisecond...Time.second) { [weak self] in self?.makeRoom() }
    }

    private func makeRoom() {
        kernel.trace.note(.diskRoom)
        site.disk.spaceLimit = .max
    }

    private func changeRules() {
        let visitors = devices.filter { $0.traits.username == Rules.visitor }
        guard !visitors.isEmpty else { return }
        let visitor = kernel.pick(visitors)
        guard let want = visitor.traits.subscriptions.isEmpty ? nil : kernel.pick(visitor.traits.subscriptions) else {
            return
        }
        let prefix = Rules.prefix(of: want.filter)
        history.counts.ruleChanges += 1
        let isLetIn = rules.toggle(visitor.name, prefix)
        kernel.trace.note(.rules, rules.version, isLetIn ? 1 : 0)
        visitor.shutOut(of: prefix)
        let revoked: Set<String> = kernel.chance(perMille: 200) ? [Rules.visitor] : []
        site.process?.turn { $0.accessChanged(AccessChange(revokedUsernames: revoked), now: $1, effects: &$2) }
    }

    // MARK: - The end

    /// Lets everything come to rest on a healthy site, then checks what only the end can tell.
    private func settle() {
        isResting = true
        kernel.trace.note(.settle)
        blockedUntil = 0
        site.disk.spaceLimit = .max
        site.disk.failNothing()
        for device in devices { device.isResting = true }
        if site.process == nil { planBoot() }
        let deadline = kernel.now + Self.restNanoseconds
        var nextLook = kernel.now + Time.second
        while kernel.now < deadline, history.violations.isEmpty, kernel.step() {
            guard kernel.now >= nextLook else { continue }
            nextLook = kernel.now + Time.second / 2
            if isAtRest { break }
        }
        guard history.violations.isEmpty else { return }
        guard isAtRest else {
            history.fail(1, "not at rest after \(Self.restNanoseconds / Time.second) s: \(unrest)")
            return
        }
        finalChecks()
    }

    /// Longer than any pause of a client, a stalled connection and the grace of a will.
    private static let restNanoseconds = 60 * Time.second

    private var isAtRest: Bool { unrest.isEmpty }

    /// What is still to be done.
    private var unrest: String {
        guard let process = site.process, !process.hasFailed else { return "the site is down" }
        for device in devices {
            if device.state != .connected { return "\(device.name) is away" }
            if !device.open.isEmpty { return "\(device.name) has exchanges open: \(device.open)" }
            let missing = device.holdings.filter { holding in
                let isShut =
                    device.traits.username == Rules.visitor
                    && !rules.allows(device.name, Rules.prefix(of: holding.want.filter), at: .max)
                return !holding.isHeld && !isShut
            }
            if !missing.isEmpty { return "\(device.name) misses subscriptions: \(missing.map(\.want.filter))" }
        }
        let statistics = process.core.statistics
        if statistics.inflightMessages > 0 { return "\(statistics.inflightMessages) messages are in flight" }
        if statistics.queuedMessages > 0 { return "\(statistics.queuedMessages) messages are queued" }
        return ""
    }

    private func finalChecks() {
        if let process = site.process {
            for number in decisions where history.messages[number].fate == .open {
                history.decide(number, isDecided: true)
            }
            let dropped = process.core.statistics.dropped
            if let lost = dropped[.lost] { history.fail(1, "\(lost) queued messages were gone from the journal") }
            if let full = dropped[.queueFull] { history.fail(1, "\(full) messages found a full queue") }
        }
        history.checkDelivered(devices)
        checkRetained()
    }

    /// A client that comes now is given the retained messages as they stand.
    private func checkRetained() {
        let probe = Device(
            kernel,
            Device.Traits(
                name: "last",
                isPersistent: false,
                subscriptions: [Device.Want(filter: "r/#", qos: .atLeastOnce)],
                pace: Time.millisecond...2 * Time.millisecond
            ),
            self,
            history
        )
        probe.isResting = true
        let end = kernel.now + 3 * Time.second
        while kernel.now < end, kernel.step() {}
        history.checkRetained(probe.record.retained)
    }
}

/// The wall clock of a machine, for a journal that asks it from wherever it runs.
private final class WallBox: @unchecked Sendable {
    // SAFETY: a world, its machines and its journals live on one thread.
    private unowned let machine: Machine

    init(_ machine: Machine) { self.machine = machine }

    var milliseconds: Int64 { machine.wall }
}
