import Access
import Broker
import Foundation
import MQTT
import Synchronization
import Testing

@testable import SiteServer

/// `mosquitto_ctrl` as Debian ships it, against a server.
@Suite("mosquitto_ctrl dynsec", .serialized) struct DynamicSecurityServerTests {
    private final class Log: AuditSink {
        private let all = Mutex<[AuditEvent]>([])
        var events: [AuditEvent] { all.withLock { $0 } }
        func record(_ event: AuditEvent) { all.withLock { $0.append(event) } }
    }

    /// A server whose users and rules are those of a fresh state file.
    private struct Site {
        let server: TestServer
        let log: Log

        /// Runs a command as the administrator.
        @discardableResult
        func control(_ command: String, _ arguments: [String]) throws -> (status: Int32, text: String) {
            let result = try Tool.run(
                "mosquitto_ctrl",
                ["-p", "\(server.port)", "-u", "admin", "-P", "admin-password", "dynsec", command] + arguments
            )
            return (result.status, result.text)
        }

        func publish(_ topic: String, as user: String, _ password: String) throws -> Int32 {
            try Tool.run(
                "mosquitto_pub",
                ["-p", "\(server.port)", "-V", "5", "-q", "1", "-t", topic, "-m", "x", "-u", user, "-P", password]
            ).status
        }
    }

    private func with(_ body: (Site) async throws -> Void) async throws {
        let folder = try TemporaryFolder()
        let path = folder.path("dynamic-security.json")
        try Tool.run("mosquitto_ctrl", ["dynsec", "init", path, "admin", "admin-password"])
        let engine = try DynamicSecurity(path: path)
        let passwords = PasswordFileAuthenticator(users: engine.users)
        let box = PolicyBox(AccessPolicy([engine.source]))
        let log = Log()
        var listener = TestServer.plain
        listener.allowAnonymous = false
        try await TestServer.with(
            [listener],
            authenticator: ListenerAuthenticator(passwords: passwords),
            authorizer: box,
            audit: log,
            controlPlane: engine
        ) { server in
            engine.observe(
                DynamicSecurity.Observer(
                    changed: { change in
                        passwords.replace(engine.users)
                        box.replace(PolicySet(AccessPolicy([engine.source])))
                        server.server.accessChanged(change)
                    },
                    audit: { log.record($0) }
                )
            )
            try await body(Site(server: server, log: log))
        }
    }

    @Test("Its commands work unchanged, and their texts are those of Mosquitto")
    func commands() async throws {
        try await with { site in
            let commands: [[String]] = [
                ["createRole", "nurse"],
                ["addRoleACL", "nurse", "publishClientSend", "ward/#", "allow", "5"],
                ["addRoleACL", "nurse", "subscribePattern", "ward/#", "allow"],
                ["addRoleACL", "nurse", "publishClientSend", "ward/locked", "deny", "9"],
                ["createGroup", "staff"],
                ["addGroupRole", "staff", "nurse"],
                ["createClient", "anna", "-p", "anna-password"],
                ["addGroupClient", "staff", "anna"],
                ["createClient", "bert", "-p", "bert-password"],
                ["addClientRole", "bert", "nurse", "3"],
                ["disableClient", "bert"],
                ["setDefaultACLAccess", "publishClientReceive", "deny"],
                ["setAnonymousGroup", "staff"],
                ["setClientId", "anna", "anna-1"],
                ["setClientId", "anna", ""],
            ]
            for command in commands {
                let result = try site.control(command[0], rest(command))
                #expect(result.status == 0 && !result.text.contains("failed"), "\(command): \(result.text)")
            }
            func shows(_ command: [String], _ lines: String...) throws {
                let text = try site.control(command[0], rest(command)).text
                for line in lines { #expect(text.contains(line), "\(command): \(text)") }
            }
            try shows(["listClients"], "admin", "anna", "bert")
            try shows(["listGroups"], "staff")
            try shows(["listRoles"], "admin", "nurse")
            try shows(["getClient", "bert"], "Username: bert", "Disabled: true", "nurse (priority: 3)")
            try shows(["getClient", "anna"], "Groups:   staff")
            try shows(["getGroup", "staff"], "Groupname: staff", "Roles:     nurse", "anna")
            try shows(["getRole", "nurse"], "ward/locked", "priority: 9", "ward/#")
            try shows(["getAnonymousGroup"], "staff")
            try shows(["getDefaultACLAccess"], "publishClientReceive : deny")
            try shows(["createRole", "nurse"], "Role already exists")
            try shows(["deleteClient", "nobody"], "Client not found")
        }
    }

    @Test("What it changes counts at once, for those who come and for those who are there")
    func effects() async throws {
        try await with { site in
            try site.control("createRole", ["r"])
            try site.control("addRoleACL", ["r", "publishClientSend", "ward/#", "allow"])
            try site.control("createClient", ["anna", "-p", "anna-password"])
            #expect(try site.publish("ward/1", as: "anna", "anna-password") == 0)
            let connected = try RawClient(port: site.server.port)
            #expect(try connected.connect("c", username: "anna", password: "anna-password").reason == .success)
            try site.control("addClientRole", ["anna", "r"])
            try site.control("setClientPassword", ["anna", "another-password"])
            #expect(site.log.events.contains { $0.kind == .clientDisconnected && $0.username == "anna" })
            let refused = try RawClient(port: site.server.port)
            let answer = try refused.connect("c", username: "anna", password: "anna-password").reason
            #expect(answer == .badUserNameOrPassword)
            #expect(try site.publish("ward/1", as: "anna", "another-password") == 0)
            try site.control("deleteClient", ["anna"])
            #expect(try site.publish("ward/1", as: "anna", "another-password") != 0)
            let administered = site.log.events.filter { $0.kind == .administered }
            #expect(administered.map(\.subject).contains("deleteClient anna"))
            #expect(!site.log.events.contains { "\($0)".contains("another-password") })
        }
    }

    @Test("Whoever is not named by a rule for $CONTROL administers nothing")
    func strangers() async throws {
        try await with { site in
            try site.control("createRole", ["all"])
            for kind in ["publishClientSend", "subscribePattern", "publishClientReceive"] {
                try site.control("addRoleACL", ["all", kind, "#", "allow"])
            }
            try site.control("createClient", ["anna", "-p", "anna-password"])
            try site.control("addClientRole", ["anna", "all"])
            let result = try Tool.run(
                "mosquitto_ctrl",
                ["-p", "\(site.server.port)", "-u", "anna", "-P", "anna-password", "dynsec", "deleteClient", "admin"]
            )
            #expect(result.text.contains("Subscribe error") || result.text.contains("not authorized"), "\(result.text)")
            let publisher = try RawClient(port: site.server.port)
            _ = try publisher.connect("x", username: "anna", password: "anna-password")
            let denied = try site.publish(DynamicSecurity.topic, as: "anna", "anna-password")
            #expect(site.log.events.contains { $0.kind == .administrationDenied && $0.username == "anna" }, "\(denied)")
            #expect(try site.control("listClients", []).text.contains("admin"))
        }
    }

    /// The arguments behind a command's name.
    private func rest(_ command: [String]) -> [String] { Array(command.dropFirst()) }
}
