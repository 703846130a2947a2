import Foundation

/// The real data that the demo replays.
struct DemoData {
    struct Purchase {
        var customer: String
        /// Days since 1970-01-01.
        var day: Int
        var items: Int
        var total: Double
    }

    /// Sensor readings in mg/dL, five minutes apart.
    var glucose: [Int]
    /// In the order of their days.
    var purchases: [Purchase]

    /// Reads the files beside the executable, where the build puts them, or in `folder`.
    static func load(folder: String?) throws -> DemoData {
        let places: [String?] = [
            folder,
            Bundle.main.bundleURL.appendingPathComponent("causeway_causeway.resources/Data").path,
            "/usr/share/causeway/demo",
        ]
        for case let place? in places {
            guard let glucose = text(place + "/glucose.csv"), let purchases = text(place + "/purchases.csv") else {
                continue
            }
            return DemoData(glucose: readings(glucose), purchases: self.purchases(purchases))
        }
        throw StartFailure("The demo's data is not beside the executable. Name its folder with --data.")
    }

    private static func text(_ path: String) -> String? {
        FileManager.default.contents(atPath: path).flatMap { String(data: $0, encoding: .utf8) }
    }

    private static func rows(_ text: String) -> [[Substring]] {
        text.split(whereSeparator: \.isNewline).dropFirst().map { $0.split(separator: ",") }
    }

    private static func readings(_ text: String) -> [Int] {
        rows(text).compactMap { $0.count == 2 ? Int($0[1]) : nil }
    }

    private static func purchases(_ text: String) -> [Purchase] {
        rows(text).compactMap { row in
            guard row.count == 4, let day = dayNumber(row[1]), let items = Int(row[2]), let total = Double(row[3])
            else { return nil }
            return Purchase(customer: "c\(row[0])", day: day, items: items, total: total)
        }
    }

    /// Days since 1970-01-01 of a date written YYYYMMDD, by the civil calendar.
    private static func dayNumber(_ text: Substring) -> Int? {
        guard text.utf8.count == 8, let number = Int(text) else { return nil }
        let (year, month, day) = (number / 10_000, number / 100 % 100, number % 100)
        guard (1...12).contains(month), (1...31).contains(day) else { return nil }
        let shifted = month <= 2 ? year - 1 : year
        let era = shifted / 400
        let yearOfEra = shifted - era * 400
        let dayOfYear = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1
        return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
    }
}

/// A seeded generator (SplitMix64), so that two demos with one seed simulate the same devices.
struct DemoRandom: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }

    /// A draw of the standard normal distribution (Box–Muller).
    mutating func normal() -> Double {
        let radius = (-2 * log(Double.random(in: Double.leastNonzeroMagnitude..<1, using: &self))).squareRoot()
        return radius * cos(2 * .pi * Double.random(in: 0..<1, using: &self))
    }
}
