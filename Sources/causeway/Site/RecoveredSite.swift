import Broker
import Foundation
import Journal
import Logging
import MQTT
import NIOCore
import SiteServer
import Synchronization

/// What the journal says of the site when it starts, and what recovery had to give up.
final class RecoveredSite: Sendable {
    /// Handler positions and states, once ``makeCore(_:_:readers:recovery:journal:logger:)`` has run.
    let handlers = Mutex<[String: RecoveredHandler]>([:])

    /// Makes the core of what is on disk, or an empty one if nothing is to be on disk.
    func makeCore(
        _ configuration: BrokerConfiguration,
        _ authorizer: any Authorizer,
        readers: [(name: String, filters: [TopicFilter])],
        from opened: SiteJournal?,
        logger: Logger
    ) throws -> BrokerCore {
        guard let opened else {
            var configuration = configuration
            configuration.isDurable = false
            return BrokerCore(configuration: configuration, authorizer: authorizer)
        }
        return try makeCore(
            configuration,
            authorizer,
            readers: readers,
            recovery: opened.recovery,
            journal: opened.journal,
            logger: logger
        )
    }

    /// Makes the core of the checkpoint and the records after it. Blocks while it reads.
    func makeCore(
        _ configuration: BrokerConfiguration,
        _ authorizer: any Authorizer,
        readers: [(name: String, filters: [TopicFilter])],
        recovery: Recovery,
        journal: Journal,
        logger: Logger
    ) throws -> BrokerCore {
        let core = BrokerCore(configuration: configuration, authorizer: authorizer)
        for reader in readers { core.addDurableReader(name: reader.name, filters: reader.filters) }
        if let checkpoint = recovery.checkpoint {
            try core.recover(checkpoint: ByteBuffer(bytes: checkpoint.bytes))
        }
        var failure: BrokerRecoveryError?
        let first = (recovery.checkpoint?.sequence ?? 0) + 1
        try journal.read(from: first, maxBytes: .max) { sequence, payload in
            do throws(BrokerRecoveryError) {
                try core.recover(record: ByteBuffer(bytes: payload), sequence: sequence)
                return true
            } catch {
                failure = error
                return false
            }
        }
        if let failure { throw failure }
        core.finishRecovery(nextSequence: recovery.nextSequence, now: .now())
        handlers.withLock { $0 = core.recoveredHandlers }
        report(recovery, logger)
        return core
    }

    private func report(_ recovery: Recovery, _ logger: Logger) {
        if let torn = recovery.tornTail {
            logger.info(
                "The journal's last write was cut off and removed; nothing of it had been acknowledged",
                metadata: ["cw_file": "\(torn.file)", "cw_offset": "\(torn.offset)"]
            )
        }
        for damage in recovery.damage {
            logger.error(
                "The journal is damaged; the damaged part was set aside, everything else is kept",
                metadata: [
                    "cw_kind": "\(damage.kind.rawValue)", "cw_file": "\(damage.file)",
                    "cw_copy": "\(damage.copy ?? "none")",
                ]
            )
        }
        for range in recovery.lost {
            logger.error("Journal records are lost", metadata: ["cw_sequences": "\(range)"])
        }
    }
}
