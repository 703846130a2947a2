import HandlerKit

// The decision about one visit.
extension CouponHandler {
    func decide(
        _ state: inout State,
        dwellSeconds: Double,
        zone: String,
        at instant: WallTime,
        _ context: HandlerContext
    ) -> Decision {
        let day = instant.day(offsetMinutes: rules.offsetMinutes)
        let earlier = state.purchaseDays.filter { $0 < day }
        var values: [String: JSONValue] = [
            "dwell_s": .number((dwellSeconds * 10).rounded() / 10),
            "purchase_days": .integer(Int64(earlier.count)),
            "zone": .string(zone),
            "issued": .integer(context.totals["issued"] ?? 0),
        ]
        if let refusal = refusal(state, earlier: earlier, day: day, at: instant, context) {
            return Decision(
                .decided,
                record: DecisionRecord(
                    decision: "no coupon",
                    why: refusal.why,
                    basis: [context.basis],
                    limits: [refusal.limit],
                    values: values
                )
            )
        }
        let window = Int64((Double(instant.milliseconds) / 1000 / rules.cooldownSeconds).rounded(.down))
        let id = CouponID.make(key: siteKey, campaign: campaign, customer: context.key, window: window)
        let lastDay = state.lastIssued?.day(offsetMinutes: rules.offsetMinutes)
        state.issuedThatDay = lastDay == day ? state.issuedThatDay + 1 : 1
        state.lastIssued = instant
        state.issuedCount += 1
        values["couponId"] = .string(id)
        let coupon = HandlerOutput(
            topic: topic.topic(["handler": context.handler, "key": context.key])
                ?? "hnd/\(context.handler)/\(TopicTemplate.escaped(context.key))/coupon",
            payload: [
                "couponId": .string(id), "campaign": .string(campaign), "customer": .string(context.key),
                "offer": .string(offer), "discount_pct": .number(discountPercent), "zone": .string(zone),
                "issued": .string(instant.description),
                "expires": .string(instant.adding(seconds: rules.validSeconds).description),
            ],
            qos: .atLeastOnce,
            retain: false,
            expirySeconds: UInt32(clamping: Int64(rules.validSeconds)),
            classification: "transaction"
        )
        return Decision(
            .decided,
            outputs: [coupon],
            record: DecisionRecord(
                decision: "coupon issued",
                why: "A customer with \(earlier.count) earlier purchase days stayed \(Int(dwellSeconds)) s.",
                basis: [context.basis],
                values: values
            )
        )
    }

    /// Why there is no coupon, and the limit's name; nil if there is one.
    private func refusal(
        _ state: State,
        earlier: [Int64],
        day: Int64,
        at instant: WallTime,
        _ context: HandlerContext
    ) -> (limit: String, why: String)? {
        guard state.consent?.isGiven == true else { return ("consent", "The customer has not agreed to coupons.") }
        if rules.purchaseDaysMin > 0 {
            guard earlier.count >= rules.purchaseDaysMin else {
                return ("returning", "Bought on \(earlier.count) earlier days, fewer than \(rules.purchaseDaysMin).")
            }
            let days = Double(day - (earlier.last ?? day))
            guard days * 86_400 <= rules.recencySeconds else {
                return ("recency", "The last purchase was \(Int(days)) days ago.")
            }
        }
        if let last = state.lastIssued {
            guard instant.seconds(since: last) >= rules.cooldownSeconds else {
                return ("cooldown", "The last coupon was given at \(last).")
            }
            if last.day(offsetMinutes: rules.offsetMinutes) == day, state.issuedThatDay >= rules.dailyCap {
                return ("daily_cap", "The day's \(rules.dailyCap) coupons have been given.")
            }
        }
        if rules.budget > 0, context.totals["issued"] ?? 0 >= rules.budget {
            return ("budget", "The campaign's \(rules.budget) coupons have been given.")
        }
        if let quiet = rules.quiet, quiet.contains(minute: instant.minuteOfDay(offsetMinutes: rules.offsetMinutes)) {
            return ("quiet_hours", "It is a time at which nobody is written to.")
        }
        if CouponID.isHeldOut(campaign: campaign, customer: context.key, percent: rules.holdoutPercent) {
            return ("holdout", "The customer belongs to the group that gets nothing.")
        }
        return nil
    }
}
