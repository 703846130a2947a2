import Broker
import Console
import SiteServer

/// Metrics of a broker's server and core.
enum ServerMetrics {
    static func families(_ metrics: SiteServerMetrics) -> [MetricFamily] {
        [
            .counter("causeway_connections_accepted", "Connections accepted", metrics.connectionsAccepted),
            .counter("causeway_connections_refused", "Connections refused for a limit", metrics.connectionsRefused),
            .gauge("causeway_connections_open", "Connections that are open", Double(metrics.connectionsOpen)),
            .counter("causeway_tls_failures", "TLS handshakes that failed", metrics.tlsFailures),
            .counter("causeway_handshake_timeouts", "TLS handshakes that took too long", metrics.handshakeTimeouts),
            .counter(
                "causeway_handshake_failures",
                "Connections closed for a wrong PROXY header, HTTP request or WebSocket frame",
                metrics.handshakeFailures
            ),
            .counter(
                "causeway_certificates_revoked",
                "Clients refused or cut because their certificates are revoked",
                metrics.certificatesRevoked
            ),
            .counter(
                "causeway_publish_rate_pauses",
                "Times that reading paused for a client that publishes too quickly",
                metrics.publishRatePauses
            ),
            .counter(
                "causeway_outbound_overflows",
                "Connections cut because too much was on the way to them",
                metrics.outboundOverflows
            ),
            .counter("causeway_accept_failures", "Times that the system refused a connection", metrics.acceptFailures),
            .counter("causeway_reading_pauses", "Times that reading paused for a full queue", metrics.readingPauses),
            .counter("causeway_received_bytes", "Bytes read from clients", metrics.bytesReceived),
            .counter("causeway_sent_bytes", "Bytes written to clients", metrics.bytesSent),
            .counter("causeway_checkpoints", "Checkpoints written", metrics.checkpoints),
        ]
    }

    static func families(_ statistics: BrokerStatistics) -> [MetricFamily] {
        [
            .counter("causeway_messages_received", "PUBLISH packets taken from clients", statistics.messagesReceived),
            .counter("causeway_messages_sent", "PUBLISH packets handed to clients", statistics.messagesSent),
            .counter("causeway_messages_journaled", "Messages written to the journal", statistics.messagesJournaled),
            .counter(
                "causeway_payload_received_bytes",
                "Payload bytes taken from clients",
                statistics.payloadBytesReceived
            ),
            .counter("causeway_clients_refused", "CONNECT packets refused", statistics.connectionsRefused),
            .counter("causeway_protocol_errors", "Connections closed for a broken rule", statistics.protocolErrors),
            .counter("causeway_keep_alive_timeouts", "Connections closed for silence", statistics.keepAliveTimeouts),
            .counter("causeway_session_takeovers", "Sessions taken by a new connection", statistics.takeovers),
            .counter("causeway_handler_commits", "Handler decisions taken", statistics.handlerCommits),
            .counter(
                "causeway_dropped",
                "Messages that were not delivered or not taken, by reason",
                BrokerStatistics.DropReason.allCases.map { reason in
                    MetricSample(Double(statistics.dropped[reason] ?? 0), labels: ["reason": reason.rawValue])
                }
            ),
            .gauge("causeway_clients_connected", "Clients that are connected", Double(statistics.clientsConnected)),
            .gauge("causeway_sessions", "Sessions, connected or not", Double(statistics.sessions)),
            .gauge("causeway_subscriptions", "Subscriptions of all sessions", Double(statistics.subscriptions)),
            .gauge("causeway_retained_messages", "Retained messages", Double(statistics.retainedMessages)),
            .gauge("causeway_queued_messages", "Messages queued for sessions", Double(statistics.queuedMessages)),
            .gauge("causeway_inflight_messages", "Messages in flight to clients", Double(statistics.inflightMessages)),
        ]
    }
}
