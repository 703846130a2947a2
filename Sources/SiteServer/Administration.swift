public import Broker
public import NIOCore

/// Takes what the audit log is to hold. Called on the core's loop, so it must not block and must be bounded.
public protocol AuditSink: Sendable {
    /// Takes an event.
    func record(_ event: AuditEvent)
}

/// Performs administrators' commands, such as those of Mosquitto's dynamic security.
public protocol ControlPlane: Sendable {
    /// Performs a request. Called on the core's loop, so it must not block; `reply` is called at most once, from any
    /// thread, with the topic and the payload of the answer.
    func perform(_ request: ControlRequest, reply: @escaping @Sendable (_ topic: String, _ payload: ByteBuffer) -> Void)
}
