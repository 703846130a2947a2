import Foundation
import HandlerKit
import Testing

@testable import SiteHandlers

/// Runs a handler without any runtime: one state per key, messages in, decisions out.
struct Bench<H: Handler> {
    let handler: H
    var states: [String: H.State] = [:]
    var totals: [String: Int64] = [:]
    var count: UInt64 = 0

    init(_ type: H.Type, _ parameters: HandlerParameters) throws {
        handler = try H(parameters: parameters)
    }

    @discardableResult
    mutating func send(_ kind: String, _ payload: JSONValue, key: String = "b1", at now: WallTime) -> Decision {
        count += 1
        let message = InputMessage(
            topic: "x/\(kind)",
            captures: .none,
            payload: [],
            receivedAt: now,
            reference: "\(count).0",
            parsed: payload
        )
        return reduce(.message(message), key: key, at: now)
    }

    mutating func fire(_ timer: String, key: String = "b1", at now: WallTime) -> Decision {
        reduce(.timer(TimerFiring(name: timer, dueAt: now, firedAt: now)), key: key, at: now)
    }

    private mutating func reduce(_ input: HandlerInput, key: String, at now: WallTime) -> Decision {
        let context = HandlerContext(
            now: now,
            handler: "h",
            site: "s",
            key: key,
            totals: totals,
            configuration: "c",
            basis: "\(count).0"
        )
        let old = states[key] ?? handler.initialState(key: key)
        var state = old
        let decision = handler.reduce(&state, input, context)
        if case .rejected = decision.kind { return decision }
        for (name, value) in handler.totals(of: old) { totals[name, default: 0] -= value }
        for (name, value) in handler.totals(of: state) { totals[name, default: 0] += value }
        states[key] = decision.forgetsKey ? nil : state
        return decision
    }
}

enum Fixture {
    static let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "Fixtures/data")

    /// The glucose series: instant (its local time taken as UTC) and mg/dL.
    static func glucose() throws -> [(at: WallTime, milligrams: Double)] {
        let text = try String(contentsOf: folder.appending(path: "cgm-one-person.csv"), encoding: .utf8)
        return text.split(separator: "\n").dropFirst().compactMap { line in
            let fields = line.split(separator: ",")
            guard fields.count == 3, let at = WallTime(iso8601: fields[1] + "Z"),
                let value = Double(fields[2].filter { !$0.isWhitespace })
            else { return nil }
            return (at, value)
        }
    }

    /// The purchases in the order of their days: customer, day since 1970, CDs, dollars.
    static func purchases() throws -> [(customer: String, day: Int64, items: Int64, total: Double)] {
        let text = try String(contentsOf: folder.appending(path: "cdnow-purchases.txt"), encoding: .utf8)
        return text.split(whereSeparator: \.isNewline).compactMap { line in
            let fields = line.split(whereSeparator: \.isWhitespace)
            guard fields.count == 4, fields[1].count == 8, let items = Int64(fields[2]), let total = Double(fields[3])
            else { return nil }
            let date = fields[1]
            let iso = "\(date.prefix(4))-\(date.dropFirst(4).prefix(2))-\(date.suffix(2))T12:00:00Z"
            guard let day = WallTime(iso8601: iso)?.day() else { return nil }
            return (String(fields[0]), day, items, total)
        }
    }
}
