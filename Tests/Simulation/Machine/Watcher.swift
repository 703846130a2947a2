/// What a broker process tells the checks of what nobody outside could know.
protocol Watcher: AnyObject {
    /// The version of the rules that count now.
    var rulesVersion: Int { get }
    /// A client's DISCONNECT was taken; it counts for good once the record is on the disk.
    func disconnected(_ link: Link, record: UInt64, isKept: Bool)
    /// A client's PUBACK was taken; it counts for good once the record is on the disk.
    func settles(_ peer: String, _ packetID: UInt16, record: UInt64, _ link: Link)
    /// Everything up to a record is on the disk.
    func committed(through record: UInt64)
    /// A checkpoint is on the disk.
    func wroteCheckpoint()
    /// The journal has failed: the process needs to be started again.
    func journalFailed()
    /// The process is gone; the journal had said that everything up to a record is on the disk.
    func died(committed: UInt64)
    /// Something that must not happen.
    func unexpected(_ text: String)
}
