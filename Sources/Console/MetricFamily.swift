/// Metrics of one name, for ``Exposition``.
///
/// Names follow Prometheus: prefix `causeway_`, base units in the name (`_seconds`, `_bytes`), counters end in
/// `_total`. Labels are `bridge`, `class`, `reason`, `handler`, `listener` and the like; never a topic or a client's
/// identifier, which would make as many series as there are devices.
public struct MetricFamily: Sendable, Hashable {
    /// What kind of figures they are.
    public enum Kind: String, Sendable, Hashable {
        /// A count that only grows.
        case counter
        /// A value that goes up and down.
        case gauge
        /// Counts of observations by size.
        case histogram
    }

    /// The name.
    public var name: String
    /// What it says, in one sentence.
    public var help: String
    /// What kind of figures they are.
    public var kind: Kind
    /// The figures, one for each combination of labels.
    public var samples: [MetricSample]

    /// Makes a family.
    public init(name: String, help: String, kind: Kind, samples: [MetricSample]) {
        self.name = name
        self.help = help
        self.kind = kind
        self.samples = samples
    }

    /// A counter. Its name gets `_total` if it does not end in it.
    public static func counter(_ name: String, _ help: String, _ samples: [MetricSample]) -> MetricFamily {
        let name = name.hasSuffix("_total") ? name : name + "_total"
        return MetricFamily(name: name, help: help, kind: .counter, samples: samples)
    }

    /// A counter without labels.
    public static func counter(_ name: String, _ help: String, _ value: UInt64) -> MetricFamily {
        counter(name, help, [MetricSample(Double(value))])
    }

    /// A gauge.
    public static func gauge(_ name: String, _ help: String, _ samples: [MetricSample]) -> MetricFamily {
        MetricFamily(name: name, help: help, kind: .gauge, samples: samples)
    }

    /// A gauge without labels.
    public static func gauge(_ name: String, _ help: String, _ value: Double) -> MetricFamily {
        gauge(name, help, [MetricSample(value)])
    }

    /// A histogram.
    public static func histogram(_ name: String, _ help: String, _ samples: [MetricSample]) -> MetricFamily {
        MetricFamily(name: name, help: help, kind: .histogram, samples: samples)
    }
}

/// One figure with its labels.
public struct MetricSample: Sendable, Hashable {
    /// A figure.
    public enum Value: Sendable, Hashable {
        /// Of a counter or gauge.
        case number(Double)
        /// Of a histogram.
        case histogram(MetricHistogram)
    }

    /// A label.
    public struct Label: Sendable, Hashable {
        /// Its name.
        public var name: String
        /// Its value, any text.
        public var value: String
    }

    /// The labels, in order.
    public var labels: [Label]
    /// The figure.
    public var value: Value

    /// Makes a figure of a counter or gauge.
    public init(_ value: Double, labels: KeyValuePairs<String, String> = [:]) {
        self.value = .number(value)
        self.labels = labels.map { Label(name: $0.key, value: $0.value) }
    }

    /// Makes a figure of a histogram.
    public init(_ histogram: MetricHistogram, labels: KeyValuePairs<String, String> = [:]) {
        value = .histogram(histogram)
        self.labels = labels.map { Label(name: $0.key, value: $0.value) }
    }
}

/// Observations counted by size. A plain value: whoever observes keeps it where it observes.
public struct MetricHistogram: Sendable, Hashable {
    /// Upper bounds for latencies, in seconds: 100 microseconds to 10 seconds.
    public static let latencySeconds: [Double] = [
        0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
    ]

    /// The upper bounds, ascending, without the infinite one.
    public let bounds: [Double]
    /// How many observations lie in each bucket; the last has those beyond all bounds. Not cumulative.
    public private(set) var counts: [UInt64]
    /// The sum of the observations.
    public private(set) var sum: Double = 0

    /// Makes an empty histogram.
    public init(bounds: [Double] = MetricHistogram.latencySeconds) {
        self.bounds = bounds.filter(\.isFinite).sorted()
        counts = Array(repeating: 0, count: self.bounds.count + 1)
    }

    /// How many observations there are.
    public var count: UInt64 { counts.reduce(0, &+) }

    /// Counts an observation; what is not a number is not counted.
    public mutating func observe(_ value: Double) {
        guard !value.isNaN else { return }
        counts[bounds.firstIndex { value <= $0 } ?? bounds.count] &+= 1
        sum += value
    }
}
