import Broker
import MQTT
import Testing

@testable import Access

@Suite("Roles") struct RoleSetTests {
    private let roles: [RoleSet.Role] = [
        .init(
            name: "nurse",
            allow: .init(publish: ["ward/{unit}/order/#"], subscribe: ["ward/{unit}/#"]),
            deny: .init(publish: ["ward/{unit}/order/locked"], subscribe: ["ward/{unit}/hr/#"])
        ),
        .init(name: "observer", allow: .init(subscribe: ["#"], receive: ["ward/#"])),
        .init(name: "barred", priority: 10, deny: .init(publish: ["#"], subscribe: ["#"])),
        .init(name: "device", allow: .init(publish: ["device/%c/%u/up"])),
    ]

    private func set(_ users: [RoleSet.User], groups: [RoleSet.Group] = []) throws -> RoleSet {
        try RoleSet(roles: roles, groups: groups, users: users)
    }

    @Test("A capture of the user name reaches its own unit, and no other")
    func captures() throws {
        let access = try set([.init(name: "nurse-{unit}-*", roles: ["nurse"])]).resolve(Identity("nurse-icu-7"))
        #expect(access.mayPublish("ward/icu/order/1"))
        #expect(!access.mayPublish("ward/er/order/1"))
        #expect(try access.maySubscribe(TopicFilter("ward/icu/+/x")))
        #expect(try !access.maySubscribe(TopicFilter("ward/+/x")))
        #expect(access.mayReceive("ward/icu/a"))
        #expect(!access.mayReceive("ward/er/a"))
    }

    @Test("D13: a denial within what is allowed refuses what lies in it and holds back what reaches into it")
    func denial() throws {
        let access = try set([.init(name: "nurse-{unit}", roles: ["nurse"])]).resolve(Identity("nurse-icu"))
        #expect(!access.mayPublish("ward/icu/order/locked"))
        #expect(try !access.maySubscribe(TopicFilter("ward/icu/hr/+")))
        #expect(try access.maySubscribe(TopicFilter("ward/icu/#")))
        #expect(try access.maySubscribe(TopicFilter("$share/g/ward/icu/#")))
        #expect(try !access.maySubscribe(TopicFilter("$share/g/ward/icu/hr/#")), "D12")
        #expect(!access.mayReceive("ward/icu/hr/salary"))
        #expect(access.mayReceive("ward/icu/bed"))
    }

    @Test("A role of higher priority is asked first, whichever entry or group gives it")
    func priority() throws {
        let users: [RoleSet.User] = [
            .init(name: "nurse-{unit}", roles: ["nurse"]), .init(name: "*-er", groups: ["out"]),
        ]
        let set = try set(users, groups: [.init(name: "out", roles: ["barred"])])
        #expect(set.resolve(Identity("nurse-icu")).mayPublish("ward/icu/order/1"))
        #expect(!set.resolve(Identity("nurse-er")).mayPublish("ward/er/order/1"))
        #expect(!set.resolve(Identity("nurse-er")).mayReceive("ward/er/x"))
    }

    @Test("Whoever has no role may do nothing, and nobody gets $ topics by a wildcard")
    func denyByDefault() throws {
        let set = try set([.init(name: "boss", roles: ["observer"])])
        let nobody = set.resolve(Identity("nobody"))
        #expect(!nobody.mayPublish("a"))
        #expect(try !nobody.maySubscribe(TopicFilter("a")))
        #expect(!nobody.mayReceive("a"))
        #expect(!nobody.allowsEverything)
        let boss = set.resolve(Identity("boss"))
        #expect(try boss.maySubscribe(TopicFilter("#")))
        #expect(try !boss.maySubscribe(TopicFilter("$SYS/#")))
        #expect(!boss.mayReceive("$SYS/broker"))
        #expect(!boss.mayReceive("pos/1"))
    }

    @Test(
        "D5: a capture or name that means more than itself gives nothing, and denies what a denial needs it for",
        arguments: ["nurse-#", "nurse-+", "nurse-a/b", "nurse-icu/order"]
    )
    func hostile(name: String) throws {
        let access = try set([.init(name: "nurse-{unit}", roles: ["nurse"])]).resolve(Identity(name))
        for topic in ["ward/icu/order/1", "ward/a/b/order/1", "ward/+/order/1", "ward/#/order/1"] {
            if let topic = try? TopicName(validating: topic) {
                #expect(!access.mayPublish(topic))
                #expect(!access.mayReceive(topic))
            }
        }
        let device = try set([.init(name: "*", clients: ["dev-*"], roles: ["device"])])
        #expect(!device.resolve(Identity(nil, "dev-1")).mayPublish("device/dev-1//up"), "B17")
        #expect(device.resolve(Identity("u", "dev-1")).mayPublish("device/dev-1/u/up"))
        #expect(!device.resolve(Identity("u", "other")).mayPublish("device/other/u/up"))
    }

    @Test("What does not fit together is refused at the start")
    func mistakes() {
        func message(_ make: () throws -> Void) -> String {
            let error = #expect(throws: AccessError.self) { try make() }
            #expect(error?.code == .roles)
            return error?.message ?? ""
        }
        #expect(message { _ = try self.set([.init(name: "*", roles: ["nurse"])]) }.contains("{unit}"))
        #expect(message { _ = try self.set([.init(name: "a", roles: ["docter"])]) }.contains("docter"))
        #expect(message { _ = try self.set([.init(name: "a", groups: ["g"])]) }.contains("group g"))
        #expect(message { _ = try self.set([], groups: [.init(name: "g", roles: ["x"])]) }.contains("Group g"))
        #expect(message { _ = try self.set([.init(name: "a{b}{c}")]) }.contains("braces"))
        #expect(message { _ = try self.set([.init(name: "a{b")]) }.contains("braces"))
        #expect(message { _ = try RoleSet(roles: roles + [roles[0]], users: []) }.contains("twice"))
        let bad = RoleSet.Role(name: "bad", allow: .init(publish: ["a/#/b"]))
        #expect(message { _ = try RoleSet(roles: [bad], users: []) }.contains("a/#/b"))
    }

    @Test("Patterns with captures bind the shortest text from the left")
    func bindings() {
        #expect(NamePattern(capturing: "nurse-{unit}")?.bindings(of: "nurse-icu") == ["unit": "icu"])
        #expect(NamePattern(capturing: "{a}-{b}")?.bindings(of: "x-y-z") == ["a": "x", "b": "y-z"])
        #expect(NamePattern(capturing: "{a}-x")?.bindings(of: "p-q-x") == ["a": "p-q"])
        #expect(NamePattern(capturing: "n{a}")?.bindings(of: "n") == nil)
        #expect(NamePattern(capturing: "*-{a}")?.bindings(of: "-b") == ["a": "b"])
        #expect(NamePattern(capturing: "{a}-{a}") == nil)
        #expect(NamePattern(capturing: "*")?.bindings(of: nil) == [:])
        #expect(NamePattern(capturing: "{a}")?.bindings(of: nil) == nil)
    }
}
