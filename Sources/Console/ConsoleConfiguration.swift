/// Where the console listens and the limits it keeps.
///
/// The console only reads and has neither passwords nor TLS. It listens on loopback unless told otherwise; an address
/// that probes and scrapers of other machines reach shows them health and figures, nothing else. Who may reach it is
/// then for the network to decide.
public struct ConsoleConfiguration: Sendable, Hashable {
    /// The address to listen on.
    public var host: String
    /// The port; 0 for any that is free.
    public var port: Int
    /// Connections at the same time. Further ones wait in the system's queue.
    public var connectionsMax = 64
    /// Header fields of a request.
    public var headerFieldsMax = 64
    /// Bytes of all header fields of a request.
    public var headerBytesMax = 16_384
    /// How long a connection may be open without an answer having been given on it. Ends slow and idle ones.
    public var answerSecondsMax = 30

    /// Makes a configuration with the defaults above.
    public init(host: String = "127.0.0.1", port: Int = 9_464) {
        self.host = host
        self.port = port
    }
}
