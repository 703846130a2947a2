import Broker
import Foundation
import MQTT
import NIOCore
import Repeatable
import Synchronization
import Testing

@testable import Access

@Suite("Dynamic security") struct DynamicSecurityTests {
    private let folder: TemporaryFolder
    private let path: String
    private let administrator = Identity("admin", "ctrl")

    init() throws {
        folder = try TemporaryFolder()
        path = folder.path("dynamic-security.json")
        #expect(try Tool.run("mosquitto_ctrl", ["dynsec", "init", path, "admin", "admin-password"]) == 0)
    }

    private func perform(_ engine: DynamicSecurity, _ command: String) -> (text: String, change: AccessChange?) {
        let (responses, change) = engine.perform(Array("{\"commands\":[\(command)]}".utf8), of: administrator)
        return (responses.map { $0.text() }.joined(separator: "\n"), change)
    }

    /// Performs a command that has to succeed.
    private func must(_ engine: DynamicSecurity, _ command: String) {
        let answer = perform(engine, command)
        #expect(!answer.text.contains("\"error\""), "\(command): \(answer.text)")
    }

    @Test("The state file of mosquitto_ctrl dynsec init is read: the administrator may enter and administer")
    func initialised() async throws {
        let engine = try DynamicSecurity(path: path)
        let passwords = PasswordFileAuthenticator(users: engine.users)
        let right = await answer { passwords.authenticate(request("admin", "admin-password"), completion: $0) }
        #expect(right == .accepted(username: "admin"))
        let wrong = await answer { passwords.authenticate(request("admin", "wrong"), completion: $0) }
        #expect(wrong == .refused(.badUserNameOrPassword))
        let access = engine.source.resolve(administrator)
        #expect(access.mayPublish("$CONTROL/dynamic-security/v1"))
        #expect(try access.maySubscribe(TopicFilter("$CONTROL/dynamic-security/v1/#")))
        #expect(access.mayReceive("$CONTROL/dynamic-security/v1/response"))
        #expect(!access.mayPublish("a"))
        #expect(!engine.source.resolve(Identity(nil)).mayPublish("$CONTROL/dynamic-security/v1"))
    }

    @Test("Answers and their texts are Mosquitto's, byte for byte")
    func answers() throws {
        let engine = try DynamicSecurity(path: path)
        let expected: [(command: String, answer: String)] = [
            (
                #"{"command":"createClient","username":"u","password":"p","correlationData":"7"}"#,
                #"{"command":"createClient","correlationData":"7"}"#
            ),
            (
                #"{"command":"createClient","username":"u"}"#,
                #"{"command":"createClient","error":"Client already exists"}"#
            ),
            (#"{"command":"createClient"}"#, #"{"command":"createClient","error":"Invalid/missing username"}"#),
            (
                #"{"command":"createClient","username":"v","roles":[{"rolename":"x"}]}"#,
                #"{"command":"createClient","error":"Role not found"}"#
            ),
            (
                #"{"command":"createClient","username":"v","groups":[{"groupname":"x"}]}"#,
                #"{"command":"createClient","error":"Group not found"}"#
            ),
            (
                #"{"command":"createRole","rolename":"r","acls":[{"acltype":"publishClientSend","topic":"a/#","allow":true}]}"#,
                #"{"command":"createRole"}"#
            ),
            (#"{"command":"createRole","rolename":"r"}"#, #"{"command":"createRole","error":"Role already exists"}"#),
            (
                #"{"command":"createGroup","groupname":"g","roles":[{"rolename":"r","priority":3}]}"#,
                #"{"command":"createGroup"}"#
            ),
            (#"{"command":"addGroupClient","groupname":"g","username":"u"}"#, #"{"command":"addGroupClient"}"#),
            (
                #"{"command":"addGroupClient","groupname":"g","username":"u"}"#,
                #"{"command":"addGroupClient","error":"Client is already in this group"}"#
            ),
            (
                #"{"command":"addGroupRole","groupname":"g","rolename":"r"}"#,
                #"{"command":"addGroupRole","error":"Group is already in this role"}"#
            ),
            (
                #"{"command":"addClientRole","username":"u","rolename":"r","priority":5}"#,
                #"{"command":"addClientRole"}"#
            ),
            (
                #"{"command":"getClient","username":"u","correlationData":"c"}"#,
                #"{"command":"getClient","data":{"client":{"username":"u","roles":[{"rolename":"r","priority":5}],"#
                    + #""groups":[{"groupname":"g"}]}},"correlationData":"c"}"#
            ),
            (
                #"{"command":"getGroup","groupname":"g"}"#,
                #"{"command":"getGroup","data":{"group":{"groupname":"g","clients":[{"username":"u"}],"#
                    + #""roles":[{"rolename":"r","priority":3}]}}}"#
            ),
            (
                #"{"command":"addRoleACL","rolename":"r","acltype":"subscribePattern","topic":"a/#/b"}"#,
                #"{"command":"addRoleACL","error":"Invalid ACL topic"}"#
            ),
            (
                #"{"command":"addRoleACL","rolename":"r","acltype":"nonsense","topic":"a"}"#,
                #"{"command":"addRoleACL","error":"Unknown acltype"}"#
            ),
            (
                #"{"command":"addRoleACL","rolename":"r","acltype":"publishClientSend","topic":"a/#"}"#,
                #"{"command":"addRoleACL","error":"ACL with this topic already exists"}"#
            ),
            (
                #"{"command":"removeRoleACL","rolename":"r","acltype":"publishClientSend","topic":"b"}"#,
                #"{"command":"removeRoleACL","error":"ACL not found"}"#
            ),
            (
                #"{"command":"modifyRole","rolename":"none"}"#,
                #"{"command":"modifyRole","error":"Role does not exist"}"#
            ),
            (
                #"{"command":"getAnonymousGroup"}"#,
                #"{"command":"getAnonymousGroup","data":{"group":{"groupname":""}}}"#
            ),
            (#"{"command":"setAnonymousGroup","groupname":"g"}"#, #"{"command":"setAnonymousGroup"}"#),
            (
                #"{"command":"listClients"}"#,
                #"{"command":"listClients","data":{"totalCount":2,"clients":["admin","u"]}}"#
            ),
            (
                #"{"command":"listClients","count":1,"offset":1}"#,
                #"{"command":"listClients","data":{"totalCount":2,"clients":["u"]}}"#
            ),
            (
                #"{"command":"getDefaultACLAccess"}"#,
                #"{"command":"getDefaultACLAccess","data":{"acls":[{"acltype":"publishClientSend","allow":false},"#
                    + #"{"acltype":"publishClientReceive","allow":true},{"acltype":"subscribe","allow":false},"#
                    + #"{"acltype":"unsubscribe","allow":true}]}}"#
            ),
            (
                #"{"command":"setDefaultACLAccess"}"#,
                #"{"command":"setDefaultACLAccess","error":"Missing/invalid actions array"}"#
            ),
            (
                #"{"command":"deleteClient","username":"none"}"#,
                #"{"command":"deleteClient","error":"Client not found"}"#
            ),
            (#"{"command":"fly"}"#, #"{"command":"fly","error":"Unknown command"}"#),
            (#"{}"#, #"{"command":"Unknown command","error":"Missing command"}"#),
            (#"7"#, #"{"command":"Unknown command","error":"Command not an object"}"#),
            (
                #"{"command":"getRole","correlationData":7}"#,
                #"{"command":"getRole","error":"Invalid correlationData data type."}"#
            ),
        ]
        for item in expected { #expect(perform(engine, item.command).text == item.answer) }
        func whole(_ payload: String) -> String {
            engine.perform(Array(payload.utf8), of: administrator).0.map { $0.text() }.joined()
        }
        #expect(whole("{") == #"{"command":"Unknown command","error":"Payload not valid JSON"}"#)
        #expect(whole("{}") == #"{"command":"Unknown command","error":"Invalid/missing commands"}"#)
    }

    @Test("Roles by rank, then groups by rank, then the default; within a role by priority")
    func evaluation() throws {
        let engine = try DynamicSecurity(path: path)
        for command in [
            #"{"command":"createRole","rolename":"low","acls":[{"acltype":"publishClientSend","topic":"t/#","priority":0,"allow":true},{"acltype":"publishClientSend","topic":"t/no","priority":5,"allow":false}]}"#,
            #"{"command":"createRole","rolename":"high","acls":[{"acltype":"publishClientSend","topic":"t/high","priority":0,"allow":false}]}"#,
            #"{"command":"createRole","rolename":"subs","acls":[{"acltype":"subscribeLiteral","topic":"a/+","allow":true},{"acltype":"subscribePattern","topic":"b/#","allow":true},{"acltype":"unsubscribePattern","topic":"keep/#","allow":false},{"acltype":"publishClientSend","topic":"own/%u/%c","allow":true}]}"#,
            #"{"command":"createGroup","groupname":"g","roles":[{"rolename":"subs"}]}"#,
            #"{"command":"createClient","username":"u","roles":[{"rolename":"low","priority":1},{"rolename":"high","priority":2}],"groups":[{"groupname":"g"}]}"#,
        ] { must(engine, command) }
        let access = engine.source.resolve(Identity("u", "c"))
        #expect(access.mayPublish("t/x"))
        #expect(!access.mayPublish("t/no"))
        #expect(!access.mayPublish("t/high"))
        #expect(!access.mayPublish("x"))
        #expect(access.mayPublish("own/u/c"))
        #expect(try access.maySubscribe(TopicFilter("a/+")))
        #expect(try !access.maySubscribe(TopicFilter("a/b")), "a literal is the very filter")
        #expect(try access.maySubscribe(TopicFilter("b/c/+")))
        #expect(try access.maySubscribe(TopicFilter("$share/g/b/c")))
        #expect(try !access.maySubscribe(TopicFilter("#")))
        #expect(try !access.mayUnsubscribe(TopicFilter("keep/x")))
        #expect(try access.mayUnsubscribe(TopicFilter("other")))
        #expect(access.mayReceive("whatever"), "the default of a fresh file")
        #expect(!access.mayReceive("$CONTROL/dynamic-security/v1/response"), "never by default")
        must(engine, #"{"command":"setDefaultACLAccess","acls":[{"acltype":"publishClientReceive","allow":false}]}"#)
        #expect(!engine.source.resolve(Identity("u", "c")).mayReceive("whatever"))
    }

    @Test("A role without wildcards refuses every filter that has one, but those it allows literally and other ranks")
    func wildcards() throws {
        let engine = try DynamicSecurity(path: path)
        for command in [
            #"{"command":"createRole","rolename":"plain","allowwildcardsubs":false,"acls":[{"acltype":"subscribePattern","topic":"t/#","allow":true},{"acltype":"subscribeLiteral","topic":"t/+/state","allow":true},{"acltype":"publishClientReceive","topic":"t/#","allow":true}]}"#,
            #"{"command":"createRole","rolename":"above","acls":[{"acltype":"subscribePattern","topic":"up/#","allow":true}]}"#,
            #"{"command":"createRole","rolename":"below","acls":[{"acltype":"subscribePattern","topic":"down/#","allow":true}]}"#,
            #"{"command":"createClient","username":"u","roles":[{"rolename":"above","priority":3},{"rolename":"plain","priority":2},{"rolename":"below","priority":1}]}"#,
        ] { must(engine, command) }
        func may(_ filter: String) throws -> Bool {
            try engine.source.resolve(Identity("u", "c")).maySubscribe(TopicFilter(filter))
        }
        for filter in ["t/a", "t/a/b", "$share/g/t/a", "t/+/state", "up/#", "down/a"] {
            #expect(try may(filter), "\(filter)")
        }
        for filter in ["t/#", "t/+", "t/a/+", "$share/g/t/#", "t/+/other", "#", "down/#"] {
            #expect(try !may(filter), "\(filter)")
        }
        #expect(engine.source.resolve(Identity("u", "c")).mayReceive("t/a"), "it is about subscriptions alone")
        must(engine, #"{"command":"setDefaultACLAccess","acls":[{"acltype":"subscribe","allow":true}]}"#)
        #expect(try !may("other/#"))
        must(engine, #"{"command":"modifyRole","rolename":"plain","allowwildcardsubs":true}"#)
        #expect(try may("t/#") && may("other/#"))
    }

    @Test("Details count clients, groups, roles and changes, over restarts too")
    func details() throws {
        func details(_ engine: DynamicSecurity) -> String { perform(engine, #"{"command":"getDetails"}"#).text }
        func expected(_ roles: Int, _ changes: Int) -> String {
            #"{"command":"getDetails","data":{"clientCount":1,"groupCount":0,"roleCount":"#
                + #"\#(roles),"changeIndex":\#(changes)}}"#
        }
        let engine = try DynamicSecurity(path: path)
        #expect(details(engine) == expected(1, 0))
        must(engine, #"{"command":"createRole","rolename":"r"}"#)
        must(engine, #"{"command":"modifyRole","rolename":"r"}"#)
        _ = perform(engine, #"{"command":"createRole","rolename":"r"}"#)
        #expect(details(engine) == expected(2, 2), "what is refused changes nothing")
        #expect(details(try DynamicSecurity(path: path)) == expected(2, 2))
    }

    @Test("A disabled client, one with another client identifier and one without password do not enter")
    func entering() async throws {
        let engine = try DynamicSecurity(path: path)
        must(engine, #"{"command":"createClient","username":"u","password":"p","clientid":"only"}"#)
        must(engine, #"{"command":"createClient","username":"bare"}"#)
        func enters(_ name: String, _ clientID: String) async -> Bool {
            let passwords = PasswordFileAuthenticator(users: engine.users)
            let result = await answer {
                passwords.authenticate(request(name, "p", clientID: clientID), completion: $0)
            }
            return result == .accepted(username: name)
        }
        #expect(await enters("u", "only"))
        #expect(await !enters("u", "other"))
        #expect(await !enters("bare", "only"))
        must(engine, #"{"command":"disableClient","username":"u"}"#)
        #expect(await !enters("u", "only"))
        must(engine, #"{"command":"enableClient","username":"u"}"#)
        #expect(await enters("u", "only"))
    }

    @Test("Connections end of whoever could not come back; as in Mosquitto, of whoever is touched")
    func kicks() throws {
        for kicksAll in [false, true] {
            let engine = try DynamicSecurity(path: path, kicksOnEveryChange: kicksAll)
            _ = perform(engine, #"{"command":"deleteClient","username":"u"}"#)
            _ = perform(engine, #"{"command":"deleteRole","rolename":"r"}"#)
            must(engine, #"{"command":"createRole","rolename":"r"}"#)
            must(engine, #"{"command":"createClient","username":"u","password":"p","roles":[{"rolename":"r"}]}"#)
            func kicked(_ command: String) -> Set<String> {
                perform(engine, command).change?.revokedUsernames ?? []
            }
            let touched: Set<String> = kicksAll ? ["u"] : []
            #expect(
                kicked(#"{"command":"addRoleACL","rolename":"r","acltype":"publishClientSend","topic":"a"}"#) == touched
            )
            #expect(kicked(#"{"command":"modifyClient","username":"u","textname":"U"}"#) == touched)
            #expect(kicked(#"{"command":"setClientPassword","username":"u","password":"q"}"#) == ["u"])
            #expect(kicked(#"{"command":"modifyClient","username":"u","clientid":"c"}"#) == ["u"])
            #expect(kicked(#"{"command":"disableClient","username":"u"}"#) == ["u"])
            #expect(perform(engine, #"{"command":"getClient","username":"u"}"#).change == nil)
        }
    }

    @Test("Every change is in the file before it is answered, readable by Mosquitto's plugin and by us")
    func persistence() throws {
        let engine = try DynamicSecurity(path: path)
        must(engine, #"{"command":"createRole","rolename":"r","textname":"R\u00e9"}"#)
        must(engine, #"{"command":"createGroup","groupname":"g"}"#)
        must(
            engine,
            #"{"command":"createClient","username":"u","password":"p","groups":[{"groupname":"g","priority":4}]}"#
        )
        must(engine, #"{"command":"setAnonymousGroup","groupname":"g"}"#)
        let mode = try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int
        #expect(mode == 0o600)
        let again = try DynamicSecurity(path: path)
        for command in ["listClients", "listGroups", "listRoles"] {
            let request = #"{"command":"\#(command)","verbose":true}"#
            #expect(perform(again, request).text == perform(engine, request).text)
        }
        let stored =
            try JSONSerialization.jsonObject(with: Data(contentsOf: URL(fileURLWithPath: path))) as? [String: Any]
        let clients = stored?["clients"] as? [[String: Any]]
        let user = clients?.first { $0["username"] as? String == "u" }
        #expect(user?["password"] is String && user?["salt"] is String && user?["iterations"] as? Int == 20_000)
        #expect((user?["salt"] as? String).flatMap { Data(base64Encoded: $0) }?.count == 12)
        #expect(stored?["anonymousGroup"] as? String == "g")
    }

    @Test("A change that cannot be written does not count")
    func unwritable() throws {
        let engine = try DynamicSecurity(path: path)
        try FileManager.default.removeItem(at: folder.url)
        let answer = perform(engine, #"{"command":"createGroup","groupname":"g"}"#)
        #expect(answer.text == #"{"command":"createGroup","error":"Internal error"}"#)
        #expect(answer.change == nil)
        #expect(perform(engine, #"{"command":"listGroups"}"#).text.contains("\"totalCount\":0"))
    }

    @Test("A state file that is missing, broken or contradicts itself is refused, and a reload leaves the old state")
    func brokenFiles() throws {
        let engine = try DynamicSecurity(path: path)
        #expect(throws: AccessError.self) { try DynamicSecurity(path: "/nonexistent/state.json") }
        for text in [
            "", "[]", "{", #"{"clients":7}"#, #"{"clients":[{}]}"#, #"{"clients":[{"username":"u"},{"username":"u"}]}"#,
            #"{"clients":[{"username":"u","roles":[{"rolename":"none"}]}]}"#,
            #"{"clients":[{"username":"u","password":"x","salt":"y","iterations":1}]}"#,
            #"{"groups":[{"groupname":"g","clients":[{"username":"none"}]}]}"#, #"{"anonymousGroup":"none"}"#,
            #"{"roles":[{"rolename":"r","acls":[{"acltype":"nonsense","topic":"a"}]}]}"#,
        ] {
            try text.write(toFile: path, atomically: true, encoding: .utf8)
            #expect(throws: AccessError.self, "\(text)") { try engine.reload() }
        }
        #expect(perform(engine, #"{"command":"listClients"}"#).text.contains("admin"))
        try "{}".write(toFile: path, atomically: true, encoding: .utf8)
        #expect(try engine.reload().revokedUsernames == ["admin"])
    }

    @Test("Administrators are told on, also where they fail, and never with a password")
    func audit() throws {
        let engine = try DynamicSecurity(path: path)
        let events = Mutex<[AuditEvent]>([])
        engine.observe(DynamicSecurity.Observer(audit: { event in events.withLock { $0.append(event) } }))
        must(engine, #"{"command":"createClient","username":"u","password":"canary-4711"}"#)
        _ = perform(engine, #"{"command":"createClient","username":"u","password":"canary-4711"}"#)
        let told = events.withLock { $0 }
        #expect(told.map(\.subject) == ["createClient u", "createClient"])
        #expect(told.map(\.reason) == [nil, "Client already exists"])
        #expect(told.allSatisfy { $0.kind == .administered && $0.username == "admin" && $0.clientID == "ctrl" })
        #expect(!told.contains { "\($0)".contains("canary") })
    }

    @Test("The answer comes when the change counts, and before the administrator's own connection ends")
    func order() async throws {
        let engine = try DynamicSecurity(path: path)
        let steps = Mutex<[String]>([])
        let (stream, continuation) = AsyncStream<Void>.makeStream()
        engine.observe(
            DynamicSecurity.Observer(changed: { change in
                steps.withLock { $0.append("changed \(change.revokedUsernames.sorted())") }
                if !change.revokedUsernames.isEmpty { continuation.yield() }
            })
        )
        let payload = ByteBuffer(
            string: #"{"commands":[{"command":"setClientPassword","username":"admin","password":"another one"}]}"#
        )
        let request = ControlRequest(identity: administrator, topic: "$CONTROL/dynamic-security/v1", payload: payload)
        engine.perform(request) { topic, answer in
            steps.withLock { $0.append("\(topic) \(String(buffer: answer))") }
        }
        for await _ in stream { break }
        #expect(
            steps.withLock { $0 } == [
                "changed []",
                #"$CONTROL/dynamic-security/v1/response {"responses":[{"command":"setClientPassword"}]}"#,
                "changed [\"admin\"]",
            ]
        )
    }
}

@Suite("JSON") struct JSONValueTests {
    @Test(
        "What is no JSON is refused",
        arguments: [
            "", "{", "[1,]", "{\"a\":}", "{a:1}", "01", "1.", "+1", "nul", "\"\\x\"", "\"\\ud800\"", "\"\u{1}\"", "1 2",
            "[1 2]", "\"abc", "{\"a\" 1}", "-", "1e", String(repeating: "[", count: 100_000),
        ]
    )
    func malformed(text: String) { #expect(JSONValue(parsing: text.utf8) == nil) }

    @Test("Text is read and written as it stands, in the order it stands in")
    func roundTrip() {
        let text = #"{"b":[1,-2.5,true,null,"\"\\\n\u0001é😀"],"a":{}}"#
        #expect(JSONValue(parsing: text.utf8)?.text() == text)
        #expect(JSONValue(parsing: #""\ud83d\ude00\u00e9""#.utf8) == .string("😀é"))
        #expect(JSONValue(parsing: [0x22, 0xFF, 0x22]) == nil)
        #expect(JSONValue(parsing: "1e999".utf8) == nil, "no number holds it")
        #expect(JSONValue(parsing: #"{"Command":"x"}"#.utf8)?["command"]?.string == "x")
    }

    @Test("100,000 random texts neither trap nor come back as something else")
    func random() {
        let seed = UInt64.random(in: 0 ... .max)
        var random = SeededRandom(seed: seed)
        let pieces = [
            "{", "}", "[", "]", ",", ":", "\"a\"", "\"", "1", "-", ".5", "e9", "true", "null", "\\u12", " ", "\u{E9}",
        ]
        for _ in 0..<100_000 {
            let text = (0..<Int.random(in: 0...9, using: &random))
                .map { _ in pieces.randomElement(using: &random) ?? "" }.joined()
            guard let value = JSONValue(parsing: text.utf8) else { continue }
            #expect(JSONValue(parsing: value.text().utf8) == value, "\(text), seed \(seed)")
        }
    }
}
