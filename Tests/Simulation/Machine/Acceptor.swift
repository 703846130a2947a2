import Broker
import DequeModule
import MQTT
import NIOCore

/// The broker's end of one connection.
final class Acceptor: LinkEnd {
    let id: ConnectionID
    let link: Link
    /// Who is at the other end, for the checks.
    let peer: String
    unowned let process: BrokerProcess
    var decoder = PacketDecoder()
    /// Reads what was taken once more, for the checks.
    var shadow = PacketDecoder()
    var input = ByteBuffer()
    var output = ByteBuffer()
    /// The core has closed it: nothing that still comes counts.
    var isClosing = false
    var isWritable = true
    /// What a planted fault holds back.
    var held: Packet?

    init(_ id: ConnectionID, _ link: Link, _ peer: String, _ process: BrokerProcess) {
        self.id = id
        self.link = link
        self.peer = peer
        self.process = process
    }

    /// The packets in the output from a place on.
    func packets(from start: Int) -> [Packet] {
        var decoder = PacketDecoder(version: decoder.version ?? .v5, role: .client)
        var bytes = output.getSlice(at: start, length: output.writerIndex - start) ?? ByteBuffer()
        var found: [Packet] = []
        while let packet = try? decoder.next(&bytes) { found.append(packet) }
        return found
    }

    func linkReceived(_ bytes: ByteBuffer) { process.received(bytes, self) }

    func linkEnded() { process.ended(self) }

    func linkDrained() { process.drained(self) }
}
