import Foundation

/// A message that a simulated device publishes.
struct DeviceMessage {
    var topic: String
    var payload: String
}

/// What one simulated device does: a message each time it is asked, and how long until the next.
protocol DeviceScript {
    /// The device's name: its certificate's and its client identifier.
    var name: String { get }
    /// Seconds until the next message at speed 1.
    mutating func pause(_ random: inout DemoRandom) -> Double
    mutating func next(nowMilliseconds: Int64, _ random: inout DemoRandom) -> [DeviceMessage]
}

/// A glucose sensor on a ward. Each patient's episode is a piece of the real series: three readings that keep their
/// five minutes between each other, the last of them from now. Then the bed has its next patient.
struct GlucoseSensor: DeviceScript {
    private static let readingsPerPatient = 3
    private static let spacingMilliseconds: Int64 = 300_000

    let name: String
    let bed: Int
    let series: [Int]
    private var patient = 0
    private var step = 0
    private var start = 0
    private var beganMilliseconds: Int64 = 0

    init(bed: Int, series: [Int]) {
        self.name = "cgm-\(bed)"
        self.bed = bed
        self.series = series
    }

    func pause(_ random: inout DemoRandom) -> Double { Double.random(in: 2...4, using: &random) }

    mutating func next(nowMilliseconds: Int64, _ random: inout DemoRandom) -> [DeviceMessage] {
        guard series.count > Self.readingsPerPatient else { return [] }
        if step % Self.readingsPerPatient == 0 {
            patient += 1
            start = Int.random(in: 0..<(series.count - Self.readingsPerPatient), using: &random)
            beganMilliseconds = nowMilliseconds - Int64(Self.readingsPerPatient - 1) * Self.spacingMilliseconds
        }
        let index = step % Self.readingsPerPatient
        step += 1
        let subject = "\(bed)-\(patient)"
        let at = beganMilliseconds + Int64(index) * Self.spacingMilliseconds
        return [
            DeviceMessage(
                topic: "ward/east/bed/\(subject)/pump",
                payload: #"{"rate":1.0,"ts":\#(nowMilliseconds)}"#
            ),
            DeviceMessage(
                topic: "ward/east/bed/\(subject)/cgm",
                payload: """
                    {"dev":"\(name)","boot":"p\(patient)","seq":\(index),"ts":\(at),"value":\(series[start + index]),\
                    "unit":"mg/dL","quality":"ok"}
                    """
            ),
        ]
    }
}

/// A till of a shop: real customers' real purchases, one customer after the other, each in their order, moved so that
/// the last of all is from today.
struct Till: DeviceScript {
    let name: String
    let number: Int
    private let purchases: [DemoData.Purchase]
    private let shiftDays: Int
    private var position = 0

    /// - Parameter purchases: What this till sells; its customers shop nowhere else.
    init(number: Int, purchases: [DemoData.Purchase], shiftDays: Int) {
        self.name = "till-\(number)"
        self.number = number
        self.purchases = purchases
        self.shiftDays = shiftDays
    }

    func pause(_ random: inout DemoRandom) -> Double { Double.random(in: 0.05...0.25, using: &random) }

    mutating func next(nowMilliseconds: Int64, _ random: inout DemoRandom) -> [DeviceMessage] {
        guard position < purchases.count else { return [] }
        let purchase = purchases[position]
        position += 1
        let at = min(nowMilliseconds, (Int64(purchase.day + shiftDays) * 86_400 + 36_000) * 1_000)
        var messages: [DeviceMessage] = []
        if position == 1 || purchases[..<(position - 1)].allSatisfy({ $0.customer != purchase.customer }) {
            messages.append(
                DeviceMessage(
                    topic: "customer/\(purchase.customer)/consent",
                    payload: #"{"customer":"\#(purchase.customer)","given":true}"#
                )
            )
        }
        messages.append(
            DeviceMessage(
                topic: "pos/\(number)/sale",
                payload: """
                    {"customer":"\(purchase.customer)","card":"4000-0000-0000-\(1_000 + number)","tx":"\(name)-\(position)",\
                    "items":\(purchase.items),"total":\(purchase.total),"ts":\(at)}
                    """
            )
        )
        return messages
    }
}

/// A beacon gateway at the door of a shop: now and then a known customer comes in and stays for a while. Stays are
/// exponentially distributed with a mean of 90 s.
struct Beacon: DeviceScript {
    let name: String
    let zone: String
    let customers: [String]

    init(number: Int, customers: [String]) {
        self.name = "beacon-\(number)"
        self.zone = "zone-\(number)"
        self.customers = customers
    }

    func pause(_ random: inout DemoRandom) -> Double { Double.random(in: 2...6, using: &random) }

    mutating func next(nowMilliseconds: Int64, _ random: inout DemoRandom) -> [DeviceMessage] {
        guard let customer = customers.randomElement(using: &random) else { return [] }
        let stay = Int(-90 * log(Double.random(in: 0.000_001..<1, using: &random)))
        let signal = Int(-62 + 6 * random.normal())
        return [
            DeviceMessage(
                topic: "beacon/\(zone)/sighting",
                payload: """
                    {"customer":"\(customer)","zone":"\(zone)","rssi":\(signal),"dwell_s":\(stay),"ts":\(nowMilliseconds)}
                    """
            )
        ]
    }
}

/// A refrigerator: temperature reverts to 4 °C (Ornstein–Uhlenbeck, deviation 0.4 K); its door is opened in about one
/// of forty readings, which brings in 1.5 K.
struct Fridge: DeviceScript {
    let name: String
    let number: Int
    private var celsius = 4.0

    init(number: Int) {
        self.name = "fridge-\(number)"
        self.number = number
    }

    func pause(_ random: inout DemoRandom) -> Double { Double.random(in: 0.8...1.2, using: &random) }

    mutating func next(nowMilliseconds: Int64, _ random: inout DemoRandom) -> [DeviceMessage] {
        celsius += 0.2 * (4 - celsius) + 0.25 * random.normal()
        if Int.random(in: 0..<40, using: &random) == 0 { celsius += 1.5 }
        let shown = (celsius * 100).rounded() / 100
        return [
            DeviceMessage(
                topic: "fridge/\(number)/temp",
                payload: #"{"value":\#(shown),"unit":"Cel","ts":\#(nowMilliseconds)}"#
            )
        ]
    }
}
