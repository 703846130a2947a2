import Broker
import CausewayConfiguration
import Cloud
import Foundation
import Logging
import SiteServer
import Synchronization

/// The run of a demo: cloud, link, site, devices; an outage in the middle; the proof at the end.
struct Demo {
    /// How long the chain may take to come to rest once devices are silent.
    private static let restSecondsMax = 60.0

    let seconds: Int
    let devices: Int
    let speed: Double
    let logLevel: LogConfiguration.Level
    let data: DemoData
    let workspace: DemoWorkspace
    private var screen: DemoScreen

    var folder: String { workspace.folder }

    init(seconds: Int, devices: Int, speed: Double, data: String?, log: String, isQuiet: Bool) throws {
        self.seconds = seconds
        self.devices = devices
        self.speed = speed
        self.logLevel = LogConfiguration.Level(rawValue: log) ?? .error
        self.data = try DemoData.load(folder: data)
        self.workspace = try DemoWorkspace.make()
        self.screen = DemoScreen(isQuiet: isQuiet)
    }

    func clean() { workspace.remove() }

    /// Runs it all. Takes ``seconds``, and what starting and coming to rest take.
    func run() async throws -> DemoProof {
        var logging = LogConfiguration()
        logging.level = logLevel
        let logger = try Logger.make("causeway.demo", logging)
        screen.say("Making certificates and configurations in \(folder)")
        let cloudConfiguration = try ConfigurationFile.cloud(try workspace.writeCloud())
        let cloud = try await CloudNode.start(cloudConfiguration, logger: logger)
        guard let cloudPort = cloud.listeners.first?.port else { throw StartFailure("The cloud has no listener") }
        let link = LinkSwitch(target: cloudPort)
        let linkPort = try await link.start()
        let siteConfiguration = try ConfigurationFile.site(try workspace.writeSite(cloudPort: linkPort))
        let site = try await SiteNode.start(siteConfiguration, logger: logger)
        guard let sitePort = site.listeners.first?.port else { throw StartFailure("The site has no listener") }
        screen.say("Cloud and site are up; \(devices) devices connect with mutual TLS")
        let witness = DemoWitness()
        try witness.start(port: sitePort, folder: folder)
        let fleet = DeviceFleet()
        try await fleet.start(
            scripts: scripts(),
            credentials: workspace.device,
            authorityPEM: workspace.authorityPEM,
            port: sitePort,
            speed: speed
        )
        let chain = DemoChain(cloud: cloud, site: site, fleet: fleet, link: link)
        var proof = try await act(chain)
        tell(witness.decisions(3))
        witness.stop()
        await fleet.stop()
        await site.stop()
        await link.stop()
        await cloud.stop()
        try count(&proof, database: cloudConfiguration.databasePath, lastSequence: proof.bridged)
        return proof
    }

    /// Lets devices publish, cuts and restores the link, and waits for rest.
    private func act(_ chain: DemoChain) async throws -> DemoProof {
        var screen = screen
        let cutAt = seconds / 3
        let restoreAt = seconds * 2 / 3
        var drain = DemoDrain()
        for second in 0...seconds {
            if second == cutAt {
                chain.link.cut()
                drain.cut()
                screen.say("The link to the cloud is cut. The site works on alone.")
            }
            if second == restoreAt {
                drain.restore(backlog: chain.waiting)
                chain.link.restore()
                screen.say("The link is back; \(drain.backlog) messages wait on the site's disk.")
            }
            drain.look(chain)
            screen.show(chain.figures(second, isLinkUp: !drain.isCut))
            try await Task.sleep(for: .seconds(1))
        }
        chain.fleet.fallSilent()
        screen.say("The devices are silent; the chain comes to rest.")
        try await rest(chain, &drain)
        screen.show(chain.figures(seconds, isLinkUp: true))
        let counters = chain.fleet.counters
        let published = counters.acknowledged.load(ordering: .relaxed)
        return DemoProof(
            published: published,
            decided: chain.site.decided,
            bridged: chain.site.bridged,
            stored: 0,
            missing: 0,
            duplicates: 0,
            duplicatesRefused: 0,
            dropped: 0,
            unacknowledged: counters.published.load(ordering: .relaxed) - published,
            outageSeconds: drain.outageSeconds,
            backlog: drain.backlog,
            drainSeconds: drain.drainSeconds
        )
    }

    /// Waits until everything that was published is acknowledged, decided about, bridged and stored.
    private func rest(_ chain: DemoChain, _ drain: inout DemoDrain) async throws {
        let deadline = ContinuousClock.now + .seconds(Self.restSecondsMax)
        var quietLooks = 0
        var last = chain.figures(0, isLinkUp: true)
        while ContinuousClock.now < deadline {
            drain.look(chain)
            let now = chain.figures(0, isLinkUp: true)
            let isAtRest =
                now.bridged == last.bridged && now.decided == last.decided && chain.waiting == 0
                && chain.isAcknowledged
            quietLooks = isAtRest ? quietLooks + 1 : 0
            if quietLooks >= 10 { return }
            last = now
            try await Task.sleep(for: .milliseconds(200))
        }
    }

    private func tell(_ decisions: [String]) {
        guard !screen.isQuiet, !decisions.isEmpty else { return }
        Output.line("\n\nSome decisions")
        for decision in decisions { Output.line("  " + decision) }
    }

    /// Counts in the database itself, after everything has stopped.
    private func count(_ proof: inout DemoProof, database: String, lastSequence: UInt64) throws {
        let store = SQLiteStore(path: database, readOnly: true)
        defer { store.close() }
        let counted = try CloudProof(from: store, expected: [DemoWorkspace.site: lastSequence])
        proof.stored = counted.stored
        proof.missing = counted.missing
        proof.duplicates = counted.duplicates
        proof.duplicatesRefused = counted.duplicatesRefused
        proof.dropped = counted.dropped
    }

    /// The devices: sensors, tills, beacons and fridges.
    private func scripts() -> [any DeviceScript & Sendable] {
        let tills = max(1, devices / 20)
        let beacons = max(1, devices / 10)
        let sensors = max(1, devices / 5)
        let fridges = max(1, devices - tills - beacons - sensors)
        let customers = Array(Set(data.purchases.map(\.customer))).sorted()
        let today = Int(BrokerTime.now().wallMilliseconds / 86_400_000)
        let shift = today - (data.purchases.map(\.day).max() ?? today)
        var scripts: [any DeviceScript & Sendable] = []
        for number in 0..<tills {
            // Each customer has one till, which replays customer after customer: history first, then they come in.
            let mine = Set(customers.enumerated().filter { $0.offset % tills == number }.map(\.element))
            let purchases = data.purchases.filter { mine.contains($0.customer) }
                .sorted { ($0.customer, $0.day) < ($1.customer, $1.day) }
            scripts.append(Till(number: number, purchases: purchases, shiftDays: shift))
        }
        for number in 0..<sensors { scripts.append(GlucoseSensor(bed: number, series: data.glucose)) }
        for number in 0..<beacons { scripts.append(Beacon(number: number, customers: customers)) }
        for number in 0..<fridges { scripts.append(Fridge(number: number)) }
        return scripts
    }
}

/// The parts of a running demo, and what they have done.
struct DemoChain {
    let cloud: CloudNode
    let site: SiteNode
    let fleet: DeviceFleet
    let link: LinkSwitch

    /// Messages that the site has numbered for the cloud and the cloud has not confirmed.
    var waiting: UInt64 { site.bridgeBacklog }

    /// Whether everything that devices sent is acknowledged.
    var isAcknowledged: Bool {
        let counters = fleet.counters
        return counters.published.load(ordering: .relaxed) == counters.acknowledged.load(ordering: .relaxed)
    }

    func figures(_ seconds: Int, isLinkUp: Bool) -> DemoScreen.Figures {
        DemoScreen.Figures(
            seconds: seconds,
            published: fleet.counters.acknowledged.load(ordering: .relaxed),
            decided: site.decided,
            bridged: site.bridged,
            stored: cloud.aggregator.statistics.counts.stored,
            isLinkUp: isLinkUp
        )
    }
}

/// The outage and how long it took to make up for it.
struct DemoDrain {
    private(set) var isCut = false
    private(set) var backlog: UInt64 = 0
    private(set) var outageSeconds = 0.0
    private(set) var drainSeconds = 0.0
    private var cutAt = ContinuousClock.now
    private var restoredAt: ContinuousClock.Instant?

    mutating func cut() {
        isCut = true
        cutAt = .now
    }

    mutating func restore(backlog: UInt64) {
        isCut = false
        self.backlog = backlog
        restoredAt = .now
        outageSeconds = (ContinuousClock.now - cutAt) / .seconds(1)
    }

    /// Notes when the backlog is gone: when no more waits than in a moment's work.
    mutating func look(_ chain: DemoChain) {
        guard let restored = restoredAt, drainSeconds == 0, chain.waiting * 4 < backlog || backlog == 0 else { return }
        drainSeconds = (ContinuousClock.now - restored) / .seconds(1)
    }
}
