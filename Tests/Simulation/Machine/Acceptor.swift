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

    /// The packet at a place of the output, for a trace.
    func line(from start: Int) -> String {
        var decoder = PacketDecoder(version: decoder.version ?? .v5, role: .client)
        var bytes = output.getSlice(at: start, length: output.writerIndex - start) ?? ByteBuffer()
        return (try? decoder.next(&bytes))?.line ?? "unreadable"
    }

    func linkReceived(_ bytes: ByteBuffer) { process.received(bytes, self) }

    func linkEnded() { process.ended(self) }

    func linkDrained() { process.drained(self) }
}
