import HandlerKit

extension CouponHandler {
    private static let zoneProblem = "zone is not text of at most \(Limits.textBytesMax) bytes"

    func sale(_ state: inout State, _ payload: JSONValue, at instant: WallTime) -> Decision {
        let items = payload["items"] == nil ? 1 : payload["items"]?.double
        let total = payload["total"] == nil ? 0 : payload["total"]?.double
        guard let items, items >= 0, let total, total >= 0 else {
            return .rejected("items and total are not numbers of at least 0")
        }
        if let transaction = payload["tx"] {
            guard let name = transaction.identifier, name.utf8.count <= Limits.textBytesMax else {
                return .rejected("tx is not text of at most \(Limits.textBytesMax) bytes")
            }
            guard !state.transactions.contains(name) else { return .none }
            state.transactions.append(name)
            if state.transactions.count > Limits.transactionsMax { state.transactions.removeFirst() }
        }
        let day = instant.day(offsetMinutes: rules.offsetMinutes)
        let place = state.purchaseDays.firstIndex { $0 >= day } ?? state.purchaseDays.count
        if place == state.purchaseDays.count || state.purchaseDays[place] != day {
            state.purchaseDays.insert(day, at: place)
            if state.purchaseDays.count > Limits.purchaseDaysMax { state.purchaseDays.removeFirst() }
        }
        state.lastPurchase = max(state.lastPurchase ?? instant, instant)
        return .none
    }

    func consent(
        _ state: inout State,
        _ payload: JSONValue,
        at instant: WallTime,
        _ context: HandlerContext
    ) -> Decision {
        if payload["forget"]?.bool == true {
            return Decision(
                .decided,
                record: DecisionRecord(
                    decision: "forgotten",
                    why: "The customer asked for it.",
                    basis: [context.basis]
                ),
                forgetsKey: true
            )
        }
        guard let isGiven = payload["given"]?.bool else { return .rejected("given is neither true nor false") }
        if let known = state.consent, known.at > instant { return .none }
        state.consent = Consent(isGiven: isGiven, at: instant)
        if !isGiven { state.stay = nil }
        return .none
    }

    func sighting(
        _ state: inout State,
        _ payload: JSONValue,
        at instant: WallTime,
        _ context: HandlerContext
    ) -> Decision {
        guard let zone = zone(payload) else { return .rejected(Self.zoneProblem) }
        guard let signal = payload["rssi"]?.double, (-127...20).contains(signal) else {
            return .rejected("rssi is not a number from -127 to 20 dBm")
        }
        if payload["dwell_s"] != nil {
            return signal < presence.enterSignal ? .none : visit(&state, payload, at: instant, context)
        }
        // Without consent nothing about the customer's whereabouts is kept.
        guard state.consent?.isGiven == true, isLater(instant, &state) else { return .none }
        var stay = currentStay(state, at: instant)
        stay.saw(Sighting(at: instant, signal: signal), rules: presence)
        state.stay = stay
        if !stay.isDecided { state.seenThrough = instant }
        guard !stay.isDecided, let since = stay.presentSince, instant.seconds(since: since) >= rules.dwellSeconds else {
            return .none
        }
        state.stay?.isDecided = true
        return decide(&state, dwellSeconds: instant.seconds(since: since), zone: zone, at: instant, context)
    }

    func visit(
        _ state: inout State,
        _ payload: JSONValue,
        at instant: WallTime,
        _ context: HandlerContext
    ) -> Decision {
        guard let zone = zone(payload) else { return .rejected(Self.zoneProblem) }
        guard let dwell = payload["dwell_s"]?.double, (0...86_400).contains(dwell) else {
            return .rejected("dwell_s is not a number from 0 to 86400")
        }
        guard isLater(instant, &state) else { return .none }
        var stay = currentStay(state, at: instant)
        state.seenThrough = instant
        stay.lastSeen = instant
        defer { state.stay = state.consent?.isGiven == true ? stay : nil }
        guard !stay.isDecided, dwell >= rules.dwellSeconds else { return .none }
        stay.isDecided = true
        return decide(&state, dwellSeconds: dwell, zone: zone, at: instant, context)
    }

    private func zone(_ payload: JSONValue) -> String? {
        guard let zone = payload["zone"] else { return "" }
        guard let name = zone.identifier, name.utf8.count <= Limits.textBytesMax else { return nil }
        return name
    }

    /// Whether an instant is after everything that was looked at. What comes late or twice never decides.
    private func isLater(_ instant: WallTime, _ state: inout State) -> Bool {
        guard let seen = state.seenThrough else { return true }
        return instant > seen
    }

    private func currentStay(_ state: State, at instant: WallTime) -> Stay {
        guard let stay = state.stay, instant.seconds(since: stay.lastSeen) <= presence.visitGapSeconds else {
            return Stay(lastSeen: instant)
        }
        return stay
    }
}
