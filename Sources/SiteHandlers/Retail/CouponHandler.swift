import Crypto
import Foundation
public import HandlerKit

/// `retail.coupon`: gives a coupon to a returning customer who stays a while, if the customer has agreed to that.
///
/// Kinds of input, by the last level of the topic; `ts` is ISO 8601 or milliseconds and may be missing:
/// - `sighting`: a beacon or gateway saw the customer's own, opted-in device,
///   `{"customer": …, "zone": …, "rssi": -68, "ts": …}`; with `dwell_s` the gateway has measured the stay itself.
/// - `visit`: the same from a door or an app, `{"customer": …, "zone": …, "dwell_s": 60, "ts": …}`.
/// - `sale`: `{"customer": …, "items": 3, "total": 12.5, "ts": …, "tx": …}`; it makes the history.
/// - `consent`: `{"given": true, "ts": …}`, or `{"forget": true}`, which removes everything remembered.
///
/// A customer is whatever pseudonym the site uses; nothing here needs a name.
public struct CouponHandler: Handler {
    let campaign: String
    let offer: String
    let discountPercent: Double
    let siteKey: SymmetricKey
    let rules: CouponRules
    let presence: PresenceRules
    let topic: TopicTemplate

    /// Makes a handler from its configuration.
    public init(parameters: HandlerParameters) throws(HandlerConfigurationError) {
        let values = try parameters.validated(by: Self.plugin)
        self.campaign = values.text("campaign")
        guard !campaign.isEmpty, !campaign.contains("|") else {
            throw HandlerConfigurationError(
                parameter: "campaign",
                problem: "it is empty or holds a |",
                hint: "write a short name such as welcome-back"
            )
        }
        self.offer = values.text("offer")
        self.discountPercent = values.number("discount_pct")
        self.siteKey = SymmetricKey(data: Data(values.text("site_key").utf8))
        let quiet: QuietHours?
        if values.text("quiet_hours").isEmpty {
            quiet = nil
        } else if let read = QuietHours(values.text("quiet_hours")) {
            quiet = read
        } else {
            throw HandlerConfigurationError(
                parameter: "quiet_hours",
                problem: "\(values.text("quiet_hours")) is not a span of the day",
                hint: "write it as in 21:30-08:00, or leave it out"
            )
        }
        self.rules = CouponRules(
            dwellSeconds: values.number("dwell"),
            purchaseDaysMin: Int(values.integer("min_purchase_days")),
            recencySeconds: values.number("recency"),
            cooldownSeconds: values.number("cooldown"),
            dailyCap: values.integer("daily_cap"),
            budget: values.integer("budget"),
            holdoutPercent: values.integer("holdout_pct"),
            validSeconds: values.number("valid"),
            offsetMinutes: Int(values.integer("utc_offset_min")),
            quiet: quiet
        )
        self.presence = PresenceRules(
            enterSignal: values.number("enter_rssi"),
            exitSignal: values.number("exit_rssi"),
            sightingsMin: Int(values.integer("min_sightings")),
            windowSeconds: values.number("window"),
            lostSeconds: values.number("lost"),
            visitGapSeconds: values.number("visit_gap")
        )
        guard presence.exitSignal <= presence.enterSignal else {
            throw HandlerConfigurationError(
                parameter: "exit_rssi",
                problem: "it is above enter_rssi",
                hint: "write a weaker signal, such as -85 for -75"
            )
        }
        do {
            self.topic = try TopicTemplate(values.text("output_topic"))
            guard topic.topic(["handler": "h", "key": "k"]) != nil, topic.places.contains("key") else {
                throw TopicPatternError(pattern: topic.template, problem: "it needs {key}, and knows {handler} besides")
            }
        } catch {
            throw HandlerConfigurationError(
                parameter: "output_topic",
                problem: "\(error)",
                hint: "write a topic such as hnd/{handler}/{key}/coupon"
            )
        }
    }

    /// A key that nothing is known of.
    public func initialState(key: String) -> State { State() }

    /// The number of coupons given, `issued`, which the budget is held against.
    public func totals(of state: State) -> [String: Int64] { ["issued": state.issuedCount] }

    /// Decides about one input; see the type for the kinds there are.
    public func reduce(_ state: inout State, _ input: HandlerInput, _ context: HandlerContext) -> Decision {
        guard case .message(let message) = input else { return .none }
        let payload: JSONValue
        do {
            payload = try message.json()
        } catch {
            return .rejected("the payload is not JSON: \(error)")
        }
        if let customer = payload["customer"], customer.identifier != context.key {
            return .rejected("customer is not whom the message was taken for")
        }
        let given = payload["ts"]
        guard given == nil || given?.instant != nil else {
            return .rejected("ts is neither ISO 8601 with a zone nor milliseconds since 1970")
        }
        let instant = given?.instant ?? context.now
        guard instant.seconds(since: context.now) <= CouponRules.futureSeconds else {
            return .rejected("ts is more than \(Int(CouponRules.futureSeconds / 60)) min in the future")
        }
        switch message.kind {
        case "sighting": return sighting(&state, payload, at: instant, context)
        case "visit": return visit(&state, payload, at: instant, context)
        case "sale": return sale(&state, payload, at: instant)
        case "consent": return consent(&state, payload, at: instant, context)
        default: return .rejected("the topic's last level is not sighting, visit, sale or consent")
        }
    }
}

/// When a coupon is given.
struct CouponRules: Sendable, Hashable {
    /// A message from further in the future has a wrong clock.
    static let futureSeconds = 300.0

    var dwellSeconds: Double
    var purchaseDaysMin: Int
    var recencySeconds: Double
    var cooldownSeconds: Double
    var dailyCap: Int64
    var budget: Int64
    var holdoutPercent: Int64
    var validSeconds: Double
    var offsetMinutes: Int
    var quiet: QuietHours?
}

/// A span of the day in which nobody is written to; it may pass midnight.
struct QuietHours: Sendable, Hashable {
    let fromMinute: Int
    let toMinute: Int

    /// Reads `21:30-08:00`.
    init?(_ text: String) {
        let ends = text.split(separator: "-", omittingEmptySubsequences: false).map { end -> Int? in
            let parts = end.split(separator: ":", omittingEmptySubsequences: false)
            guard parts.count == 2, parts.allSatisfy({ $0.count == 2 }), let hour = Int(parts[0]),
                let minute = Int(parts[1]), (0...23).contains(hour), (0...59).contains(minute)
            else { return nil }
            return hour * 60 + minute
        }
        guard ends.count == 2, let from = ends[0], let to = ends[1], from != to else { return nil }
        self.fromMinute = from
        self.toMinute = to
    }

    func contains(minute: Int) -> Bool {
        fromMinute < toMinute
            ? (fromMinute..<toMinute).contains(minute) : minute >= fromMinute || minute < toMinute
    }
}
