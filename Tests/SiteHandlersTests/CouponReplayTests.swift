import HandlerKit
import Repeatable
import Testing

@testable import SiteHandlers

/// A year and a half of a shop's purchases as visits: each purchase day begins with a visit and ends with the sale.
@Suite("retail.coupon on the CDNOW purchases")
struct CouponReplayTests {
    static func bench(_ changes: HandlerParameters) throws -> Bench<CouponHandler> {
        let standard: [String: JSONValue] = [
            "site_key": "a key of at least sixteen bytes", "holdout_pct": 0, "min_purchase_days": 0,
        ]
        return try Bench(
            CouponHandler.self,
            HandlerParameters(standard.merging(changes.values) { _, new in new })
        )
    }

    /// Sends the purchases and returns the coupons with their customers and instants.
    static func replay(
        _ rows: [(customer: String, day: Int64, items: Int64, total: Double)],
        _ bench: inout Bench<CouponHandler>
    ) -> [(id: String, customer: String, at: WallTime)] {
        var coupons: [(id: String, customer: String, at: WallTime)] = []
        for row in rows {
            let noon = WallTime(milliseconds: row.day * 86_400_000 + 43_200_000)
            if bench.states[row.customer] == nil {
                bench.send("consent", ["given": true], key: row.customer, at: WallTime(milliseconds: 0))
            }
            let visit: JSONValue = ["dwell_s": 60, "ts": .integer(noon.milliseconds)]
            // The shop's clock stands after the last day, so that nothing is in the future.
            let now = WallTime(milliseconds: 10_500 * 86_400_000)
            for output in bench.send("visit", visit, key: row.customer, at: now).outputs {
                coupons.append((output.payload?["couponId"]?.text ?? "", row.customer, noon))
            }
            let sale: JSONValue = [
                "items": .integer(row.items), "total": .number(row.total), "ts": .integer(noon.milliseconds),
            ]
            bench.send("sale", sale, key: row.customer, at: now)
        }
        return coupons
    }

    static func byDay(
        _ rows: [(customer: String, day: Int64, items: Int64, total: Double)]
    ) -> [(customer: String, day: Int64, items: Int64, total: Double)] {
        rows.enumerated().sorted { ($0.element.day, $0.offset) < ($1.element.day, $1.offset) }.map(\.element)
    }

    @Test(
        "The number of coupons is that of the cooldown",
        arguments: [(7, 61_915), (14, 57_388), (28, 51_260), (56, 44_318)]
    )
    func cooldowns(days: Int64, expected: Int) throws {
        var bench = try Self.bench(["cooldown": .string("\(days)d")])
        let coupons = Self.replay(Self.byDay(try Fixture.purchases()), &bench)
        #expect(coupons.count == expected)
        #expect(Set(coupons.map(\.id)).count == expected, "No identifier twice")
    }

    @Test("Sent twice it gives no coupon more, and a handler that forgot everything gives the same ones")
    func twice() throws {
        let rows = Self.byDay(try Fixture.purchases())
        var bench = try Self.bench([:])
        let first = Self.replay(rows, &bench)
        #expect(first.count == 51_260)
        #expect(Self.replay(rows, &bench).isEmpty)
        var fresh = try Self.bench([:])
        #expect(Set(Self.replay(rows, &fresh).map(\.id)) == Set(first.map(\.id)))
        #expect(bench.totals["issued"] == 51_260)
    }

    @Test("Customers in another order get the same coupons; days in any order never two within the cooldown")
    func reordered() throws {
        // One customer in five is enough for this.
        let rows = try Fixture.purchases().filter { $0.customer.hasSuffix("0") || $0.customer.hasSuffix("5") }
        var sorted = try Self.bench([:])
        let expected = Self.replay(Self.byDay(rows), &sorted)
        // The file is in the order of customers.
        var byCustomer = try Self.bench([:])
        #expect(Set(Self.replay(rows, &byCustomer).map(\.id)) == Set(expected.map(\.id)))
        let seed: UInt64 = 28
        var generator = SeededRandom(seed: seed)
        var shuffled = try Self.bench([:])
        let coupons = Self.replay(rows.shuffled(using: &generator), &shuffled)
        var last: [String: [WallTime]] = [:]
        for coupon in coupons { last[coupon.customer, default: []].append(coupon.at) }
        for times in last.values {
            for (earlier, later) in zip(times, times.dropFirst()) {
                #expect(later.seconds(since: earlier) >= 28 * 86_400, "seed \(seed)")
            }
        }
        #expect(coupons.count <= expected.count && Set(coupons.map(\.id)).count == coupons.count, "seed \(seed)")
    }

    @Test("Two earlier days within 90 days, a hold-out of 10 % and a budget, all together")
    func returning() throws {
        let rows = Self.byDay(try Fixture.purchases())
        var all = try Self.bench(["min_purchase_days": 2, "cooldown": "1d"])
        let eligible = Self.replay(rows, &all).count
        #expect(eligible == 25_749, "38.1 % of 67,591 customer-days")
        let some = rows.filter { $0.customer.hasSuffix("0") }
        var everyone = try Self.bench(["min_purchase_days": 2, "cooldown": "1d"])
        var treated = try Self.bench(["min_purchase_days": 2, "cooldown": "1d", "holdout_pct": 10])
        let share = Double(Self.replay(some, &treated).count) / Double(Self.replay(some, &everyone).count)
        #expect((0.85...0.95).contains(share))
        var capped = try Self.bench(["min_purchase_days": 2, "budget": 1000])
        #expect(Self.replay(some, &capped).count == 1000)
    }
}
