import Crypto
import Foundation
import HandlerKit
import Testing

@testable import SiteHandlers

@Suite("retail.coupon: sightings, sales and consent in, coupons out")
struct CouponHandlerTests {
    /// A Wednesday, 12:00 UTC.
    static let noon = WallTime(milliseconds: 1_700_049_600_000)
    static let key: JSONValue = "a key of at least sixteen bytes"

    static func at(_ seconds: Double) -> WallTime { noon.adding(seconds: seconds) }

    /// A bench whose customer `c1` has agreed and has bought on two earlier days.
    static func bench(_ changes: HandlerParameters = [:], consent: Bool = true) throws -> Bench<CouponHandler> {
        let standard: [String: JSONValue] = ["site_key": key, "holdout_pct": 0]
        let parameters = HandlerParameters(standard.merging(changes.values) { _, new in new })
        var bench = try Bench(CouponHandler.self, parameters)
        for customer in ["c1", "c2", "c3"] {
            if consent { bench.send("consent", ["given": true], key: customer, at: at(-20 * 86_400)) }
            for day in [-10.0, -5] {
                bench.send("sale", ["customer": .string(customer), "total": 9.5], key: customer, at: at(day * 86_400))
            }
        }
        return bench
    }

    static func visit(_ dwell: Double = 60, customer: String = "c1") -> JSONValue {
        ["customer": .string(customer), "zone": "door", "dwell_s": .number(dwell)]
    }

    static func limit(_ decision: Decision) -> String? { decision.record?.limits.first }

    @Test("A returning customer who stays gets one coupon, which is never retained and expires")
    func issues() throws {
        var bench = try Self.bench()
        let decision = bench.send("visit", Self.visit(), key: "c1", at: Self.at(0))
        let coupon = try #require(decision.outputs.first)
        #expect(decision.outputs.count == 1)
        #expect(coupon.topic == "hnd/h/c1/coupon")
        #expect(!coupon.retain && coupon.expirySeconds == 14 * 86_400 && coupon.classification == "transaction")
        let id = try #require(coupon.payload?["couponId"]?.text)
        #expect(id.count == 13 && CouponID.isPlausible(id))
        #expect(decision.record?.decision == "coupon issued")
    }

    @Test("Three near sightings make a presence; the coupon comes when it has lasted, once a visit")
    func sightings() throws {
        var bench = try Self.bench()
        var coupons: [Double] = []
        for second in stride(from: 0.0, through: 300, by: 2) {
            let sighting: JSONValue = ["customer": "c1", "zone": "shelf", "rssi": -68]
            let decision = bench.send("sighting", sighting, key: "c1", at: Self.at(second))
            if !decision.outputs.isEmpty { coupons.append(second) }
        }
        #expect(coupons == [20])
        // Who is far away is not here.
        var far = try Self.bench()
        for second in stride(from: 0.0, through: 120, by: 2) {
            #expect(far.send("sighting", ["customer": "c1", "rssi": -80], key: "c1", at: Self.at(second)) == .none)
        }
    }

    @Test("Silence ends a stay, and its time does not count")
    func silenceEndsStay() throws {
        var bench = try Self.bench()
        let sighting: JSONValue = ["customer": "c1", "rssi": -60]
        for second in [0.0, 2, 4, 6, 100, 102, 104, 106] {
            #expect(bench.send("sighting", sighting, key: "c1", at: Self.at(second)).outputs.isEmpty, "\(second)")
        }
        #expect(bench.send("sighting", sighting, key: "c1", at: Self.at(120)).outputs.count == 1)
    }

    @Test("Every rule refuses by its name")
    func refusals() throws {
        func first(_ changes: HandlerParameters, consent: Bool = true, customer: String = "c1") throws -> String? {
            var bench = try Self.bench(changes, consent: consent)
            return Self.limit(bench.send("visit", Self.visit(customer: customer), key: customer, at: Self.at(0)))
        }
        #expect(try first([:], consent: false) == "consent")
        #expect(try first([:], customer: "unknown") == "consent")
        #expect(try first(["min_purchase_days": 3]) == "returning")
        #expect(try first(["recency": "4d"]) == "recency")
        #expect(try first(["recency": "5d"]) == nil)
        #expect(try first(["quiet_hours": "11:00-12:01"]) == "quiet_hours")
        #expect(try first(["quiet_hours": "21:30-08:00"]) == nil)
        #expect(try first(["quiet_hours": "21:30-08:00", "utc_offset_min": 600]) == "quiet_hours")
        #expect(try first(["holdout_pct": 100]) == "holdout")
        var bench = try Self.bench(["cooldown": "60s"])
        #expect(Self.limit(bench.send("visit", Self.visit(), key: "c1", at: Self.at(0))) == nil)
        #expect(Self.limit(bench.send("visit", Self.visit(), key: "c1", at: Self.at(3600))) == "daily_cap")
        bench = try Self.bench()
        #expect(Self.limit(bench.send("visit", Self.visit(), key: "c1", at: Self.at(0))) == nil)
        #expect(Self.limit(bench.send("visit", Self.visit(), key: "c1", at: Self.at(27.9 * 86_400))) == "cooldown")
        #expect(Self.limit(bench.send("visit", Self.visit(), key: "c1", at: Self.at(28 * 86_400))) == nil)
        #expect(
            bench.send("visit", Self.visit(19, customer: "c2"), key: "c2", at: Self.at(0)) == .none,
            "Not long enough"
        )
    }

    @Test("The budget is one for all customers")
    func budget() throws {
        var bench = try Self.bench(["budget": 2])
        for (customer, limit) in [("c1", nil), ("c2", nil), ("c3", "budget")] {
            let decision = bench.send("visit", Self.visit(customer: customer), key: customer, at: Self.at(0))
            #expect(Self.limit(decision) == limit)
        }
    }

    @Test("Who takes consent back gets nothing; who asks to be forgotten is")
    func withdrawal() throws {
        var bench = try Self.bench()
        bench.send("consent", ["given": false], key: "c1", at: Self.at(-1))
        #expect(Self.limit(bench.send("visit", Self.visit(), key: "c1", at: Self.at(0))) == "consent")
        let late: JSONValue = ["given": true, "ts": .integer(Self.at(-60).milliseconds)]
        #expect(bench.send("consent", late, key: "c1", at: Self.at(1)) == .none)
        #expect(bench.states["c1"]?.consent?.isGiven == false, "An older consent that comes late does not count")
        #expect(bench.send("consent", ["forget": true], key: "c1", at: Self.at(2)).forgetsKey)
        #expect(bench.states["c1"] == nil)
        #expect(bench.totals["issued", default: 0] == 0)
    }

    @Test("Where nobody has agreed, nothing about whereabouts is remembered")
    func nothingKept() throws {
        var bench = try Self.bench(consent: false)
        let before = bench.states["c1"]
        for second in stride(from: 0.0, through: 60, by: 2) {
            bench.send("sighting", ["customer": "c1", "rssi": -60], key: "c1", at: Self.at(second))
        }
        #expect(bench.states["c1"] == before)
    }

    @Test("A coupon's identifier is that of the formula, and its check letter finds every wrong letter")
    func identifiers() throws {
        let symmetric = SymmetricKey(data: Data("a key of at least sixteen bytes".utf8))
        let id = CouponID.make(key: symmetric, campaign: "welcome-back", customer: "c1", window: 702)
        // Python: base64.b32encode(hmac.new(key, b"welcome-back|c1|702", "sha256").digest())[:12]
        #expect(id.prefix(12) == "4U4PRGCEEZNV")
        let letters = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567")
        for index in 0..<13 {
            for letter in letters {
                var wrong = Array(id)
                guard wrong[index] != letter else { continue }
                wrong[index] = letter
                #expect(!CouponID.isPlausible(String(wrong)))
            }
        }
        #expect(!CouponID.isPlausible("") && !CouponID.isPlausible(id + "A") && !CouponID.isPlausible(id.lowercased()))
        #expect(String(decoding: CouponID.base32(Array("foobar".utf8)), as: UTF8.self) == "MZXW6YTBOI", "RFC 4648")
    }

    @Test("The group that gets nothing is about as large as it should be")
    func holdout() {
        let count = (0..<20_000).count { CouponID.isHeldOut(campaign: "c", customer: "\($0)", percent: 10) }
        #expect((1800...2200).contains(count), "\(count)")
        #expect(!(0..<100).contains { CouponID.isHeldOut(campaign: "c", customer: "\($0)", percent: 0) })
    }

    @Test(
        "Nonsense goes to the dead letters and changes nothing",
        arguments: [
            ("sighting", #"{"customer":"c1"}"#), ("sighting", #"{"customer":"c1","rssi":"-60"}"#),
            ("sighting", #"{"customer":"c9","rssi":-60}"#), ("visit", #"{"customer":"c1"}"#),
            ("visit", #"{"customer":"c1","dwell_s":-1}"#), ("visit", #"{"customer":"c1","dwell_s":60,"zone":[]}"#),
            ("sale", #"{"customer":"c1","total":-1}"#), ("sale", #"{"customer":"c1","tx":{}}"#),
            ("consent", #"{"given":"yes"}"#), ("visit", #"{"customer":"c1","dwell_s":60,"ts":"now"}"#),
            ("visit", #"{"customer":"c1","dwell_s":60,"ts":9e14}"#), ("other", "{}"),
        ]
    )
    func nonsense(kind: String, text: String) throws {
        var bench = try Self.bench()
        let state = bench.states["c1"]
        let decision = bench.send(kind, try JSONValue(parsing: text.utf8), key: "c1", at: Self.at(0))
        guard case .rejected = decision.kind else {
            Issue.record("\(kind) \(text) was taken")
            return
        }
        #expect(bench.states["c1"] == state)
    }

    @Test(
        "A wrong parameter is named",
        arguments: [
            ("site_key", "short"), ("quiet_hours", "evening"), ("cooldown", "soon"), ("campaign", "a|b"),
            ("exit_rssi", -60), ("output_topic", "coupons"), ("budget", -1), ("catalogue", "coupons.yaml"),
        ] as [(String, JSONValue)]
    )
    func wrongParameters(name: String, value: JSONValue) {
        let all = HandlerParameters(["site_key": Self.key].merging([name: value]) { _, new in new })
        let error = #expect(throws: HandlerConfigurationError.self) { try CouponHandler(parameters: all) }
        #expect(error?.parameter == name)
    }

    @Test("A missing site key is asked for")
    func missingKey() {
        let error = #expect(throws: HandlerConfigurationError.self) { try CouponHandler(parameters: [:]) }
        #expect(error?.parameter == "site_key" && error?.problem == "it is missing")
    }
}
