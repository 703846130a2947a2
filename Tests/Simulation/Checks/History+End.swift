import MQTT

// What only the end of a world can tell.
extension History {
    /// Everything that was promised has come to whom it was promised.
    func checkDelivered(_ devices: [Device]) {
        for message in messages where message.fate == .acknowledged && message.qos != .atMostOnce && !message.clears {
            for device in devices where device.traits.isPersistent {
                for holding in device.holdings where holding.want.filter != Self.sharedFilter {
                    guard let from = holding.reliableFrom, from <= message.number, holding.want.qos != .atMostOnce,
                        matches(message.topic, holding.want.filter), device.record.counts[message.number] == nil
                    else { continue }
                    fail(1, "\(device.name) was never given \(message.number) of \(message.topic)")
                    return
                }
            }
        }
        checkSharedDelivered()
    }

    private func checkSharedDelivered() {
        // Members leave only while another stays, so from the first subscription that stands on somebody is there.
        let firsts = members.flatMap(\.holdings).filter { $0.want.filter == Self.sharedFilter }.compactMap(
            \.reliableFrom
        )
        guard let first = firsts.min() else { return }
        for message in messages[first...] where message.topic.hasPrefix("j/") && message.fate == .acknowledged {
            guard !members.contains(where: { $0.record.counts[message.number] != nil }) else { continue }
            fail(1, "no member was ever given \(message.number) of \(message.topic)")
            return
        }
    }

    /// What a new subscriber is given as retained is the last that was taken of each topic.
    func checkRetained(_ found: [String: Int]) {
        let topics = Set(messages.lazy.filter(\.retain).map(\.topic)).sorted()
        for topic in topics {
            let last = lastRetained[topic] ?? -1
            // What was not acknowledged may have been taken all the same.
            let possible = messages.filter { message in
                message.topic == topic && message.number >= last
                    && (message.number == last || message.fate != .acknowledged)
            }
            let mayBeNone = last < 0 || possible.contains(where: \.clears)
            guard let number = found[topic] else {
                if !mayBeNone { fail(6, "\(topic) has no retained message, where \(last) was taken last") }
                continue
            }
            guard !possible.contains(where: { $0.number == number && !$0.clears }) else { continue }
            fail(6, "\(topic) has the retained message \(number), where \(last) was taken last")
        }
    }
}
