import CertificateAuthority
import Foundation

/// The demo's folder: certificates of its own authority and the two configurations, written as a user would.
struct DemoWorkspace {
    let folder: String
    private let authority: CertificateAuthority

    /// The devices' certificates are made when they are asked for; their keys never touch the disk.
    var authorityPEM: String { authority.certificatePEM }

    static func make() throws -> DemoWorkspace {
        let folder = FileManager.default.temporaryDirectory.path + "/causeway-demo-" + Secret.makeInstanceID()
        try Folder.make(folder)
        let authority = try CertificateAuthority.create(name: "Causeway demo CA")
        let workspace = DemoWorkspace(folder: folder, authority: authority)
        try workspace.write(authority.certificatePEM, to: "ca.pem")
        for name in ["cloud", "site"] {
            try authority.issueServer(hosts: ["localhost", "127.0.0.1"], name: name)
                .write(certificate: folder + "/\(name).pem", key: folder + "/\(name).key")
        }
        try authority.issueClient(name: DemoWorkspace.site)
            .write(certificate: folder + "/bridge.pem", key: folder + "/bridge.key")
        try authority.issueClient(name: DemoWorkspace.witness)
            .write(certificate: folder + "/witness.pem", key: folder + "/witness.key")
        try workspace.write(Secret.make(), to: "site.key.txt")
        return workspace
    }

    static let site = "demo-store"
    static let witness = "dashboard"

    func device(_ name: String) throws -> DeviceFleet.Credentials {
        let issued = try authority.issueDevice(name: name)
        return DeviceFleet.Credentials(certificatePEM: issued.certificatePEM, keyPEM: issued.keyPEM ?? "")
    }

    func writeCloud() throws -> String {
        try write(
            """
            cloud: demo-cloud
            broker:
              listeners:
                - bind: 127.0.0.1:0
                  tls:
                    certfile: cloud.pem
                    keyfile: cloud.key
                    cafile: ca.pem
                    require_certificate: true
                    use_identity_as_username: true
            access:
              # A site sees and writes its own branch only; %u is the name in its certificate.
              - { users: ["*"], publish: ["up/+/%u/#"], subscribe: ["down/%u/#"] }
            journal: { path: cloud-data }
            store: { sqlite: cloud.sqlite }
            log: { level: warning }

            """,
            to: "cloud.yaml"
        )
    }

    func writeSite(cloudPort: Int) throws -> String {
        try write(
            """
            site: \(Self.site)
            listeners:
              - bind: 127.0.0.1:0
                tls:
                  certfile: site.pem
                  keyfile: site.key
                  cafile: ca.pem
                  require_certificate: true
                  use_identity_as_username: true
            access:
              - { users: ["*"], publish: ["ward/#", "pos/#", "customer/#", "beacon/#", "fridge/#"] }
              - { users: ["\(Self.witness)"], subscribe: ["hnd/#"] }
            site_key: { file: site.key.txt }
            journal: { path: site-data, sync: always }
            handlers:
              - name: glucose
                plugin: medication.insulin
                topics: ["ward/+/bed/{bed}/cgm", "ward/+/bed/{bed}/pump"]
                key: "{bed}"
                mode: suggest
                with: { target: "110-130 mg/dL", basal: 1.0, isf: 50, carb_ratio: 10, max_iob: 3 }
              - name: welcome-back
                plugin: retail.coupon
                topics: ["beacon/+/sighting", "pos/+/sale", "customer/+/consent"]
                key: "{payload.customer}"
                with: { offer: "A coffee on the house", discount_pct: 100, cooldown: 28d }
            bridges:
              - name: cloud
                address: mqtts://localhost:\(cloudPort)
                tls: { cafile: ca.pem, certfile: bridge.pem, keyfile: bridge.key }
                restart: { base: 500ms, cap: 2s }
                routes:
                  - { topic: "pos/+/sale", to: "sales/{1}", class: transaction, redact: { customer: hmac, card: drop } }
                  - { topic: "hnd/welcome-back/+/coupon", to: "coupons", class: transaction, redact: { customer: hmac } }
                  - { topic: "hnd/glucose/+/proposal", to: "therapy/proposals", class: transaction }
                  - { topic: "fridge/+/temp", to: "cold/{1}", redact: { value: { round: 1 } } }
            log: { level: warning }

            """,
            to: "site.yaml"
        )
    }

    @discardableResult
    private func write(_ text: String, to name: String) throws -> String {
        let path = folder + "/" + name
        let isMade = FileManager.default.createFile(
            atPath: path,
            contents: Data(text.utf8),
            attributes: [.posixPermissions: 0o600]
        )
        guard isMade else { throw StartFailure("\(path) cannot be written") }
        return path
    }

    func remove() { try? FileManager.default.removeItem(atPath: folder) }
}
