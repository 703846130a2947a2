import CausewayConfiguration
import Testing

/// Settings of `limits` and `tls` that keep strangers out.
@Suite struct ProtectionSettingsTests {
    private func load(_ text: String) -> ConfigurationOutcome<SiteConfiguration> {
        SiteConfiguration.load(text: text, file: "/etc/causeway/site.yaml", environment: [:])
    }

    private static let everyLimit = """
        site: s1
        limits:
          max_connections: 700
          max_connections_per_address: 70
          max_connection_rate_per_address: 7
          max_connection_burst_per_address: 77
          max_unauthenticated_bytes: 1MiB
          max_connect_size: 4KiB
          max_properties: 8
          max_filters: 16
          max_http_header_size: 2KiB
          max_websocket_frame_size: 1MiB
          max_outgoing_bytes: 128KiB
          max_publish_rate: 50
          max_publish_bytes_per_second: 32KiB
          handshake_timeout: 3s
          server_reference: other.example:8883
          response_information: answers/
        listeners: [{ bind: 127.0.0.1:1883 }]
        """

    @Test func `limits on strangers are taken over and written as they were read`() throws {
        let site = try #require(load(Self.everyLimit).value)
        let limits = site.limits
        #expect(limits.maxConnections == 700)
        #expect(limits.maxConnectionsPerAddress == 70)
        #expect(limits.maxConnectionRatePerAddress == 7)
        #expect(limits.maxConnectionBurstPerAddress == 77)
        #expect(limits.maxUnauthenticatedBytes == 1 << 20)
        #expect(limits.maxConnectBytes == 4_096)
        #expect(limits.maxProperties == 8)
        #expect(limits.maxFilters == 16)
        #expect(limits.maxHTTPHeaderBytes == 2_048)
        #expect(limits.maxWebSocketFrameBytes == 1 << 20)
        #expect(limits.maxOutgoingBytes == 128 << 10)
        #expect(limits.maxPublishRate == 50)
        #expect(limits.maxPublishBytesPerSecond == 32 << 10)
        #expect(limits.handshakeTimeout == .seconds(3))
        #expect(limits.serverReference == "other.example:8883")
        #expect(limits.responseInformation == "answers/")
        let again = try #require(load(try site.text(header: "A site.")).value)
        #expect(again.limits == limits)
    }

    @Test(arguments: [
        "max_properties: 0", "max_connect_size: 1", "max_filters: 0", "max_http_header_size: 1MiB",
        "max_websocket_frame_size: 1KiB", "max_outgoing_bytes: 1KiB", "max_connection_burst_per_address: 0",
        "server_reference: \"\"",
    ])
    func `a limit that would stall or trap is refused with its place`(_ line: String) throws {
        let key = try #require(line.split(separator: ":").first)
        let outcome = load("site: s1\nlimits: { \(line) }\nlisteners: [{ bind: 127.0.0.1:1883 }]\n")
        #expect(outcome.value == nil)
        #expect(outcome.problems.map(\.path) == ["limits.\(key)"])
    }

    private func tls(_ options: String) -> ConfigurationOutcome<SiteConfiguration> {
        load(
            "site: s1\nlisteners: [{ bind: \"0.0.0.0:8883\", allow_anonymous: true, "
                + "tls: { certfile: a.pem, keyfile: a.key, \(options) } }]\n"
        )
    }

    @Test func `a certificate may be asked for without being required`() throws {
        let asked = try #require(tls("cafile: ca.pem, require_certificate: optional").value?.listeners[0].tls)
        #expect(asked.asksForCertificate && !asked.requireCertificate)
        let required = try #require(tls("cafile: ca.pem, require_certificate: true").value?.listeners[0].tls)
        #expect(required.requireCertificate && !required.asksForCertificate)
        let named = tls("cafile: ca.pem, require_certificate: optional, use_identity_as_username: true")
        #expect(named.problems.isEmpty)
        let text = try #require(named.value).text(header: "A site.")
        #expect(load(text).value?.listeners[0].tls == named.value?.listeners[0].tls)
        #expect(tls("require_certificate: optional").problems.map(\.path) == ["listeners[0].tls.require_certificate"])
        #expect(tls("cafile: ca.pem, require_certificate: perhaps").value == nil)
    }

    @Test func `clients whose certificates are revoked are closed unless the configuration says otherwise`() throws {
        let common = "cafile: ca.pem, require_certificate: true, crlfile: crl.pem"
        #expect(tls(common).value?.listeners[0].tls?.closesRevoked == true)
        #expect(tls(common + ", close_revoked: false").value?.listeners[0].tls?.closesRevoked == false)
        #expect(tls("cafile: ca.pem, close_revoked: false").problems.map(\.path) == ["listeners[0].tls.close_revoked"])
    }
}
