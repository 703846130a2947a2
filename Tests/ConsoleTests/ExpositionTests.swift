import Testing

@testable import Console

@Suite struct ExpositionTests {
    @Test func `counters, gauges and labels are written as Prometheus reads them`() {
        let text = Exposition.text([
            .counter("causeway_bridge_acked", "Messages acknowledged.", [MetricSample(3, labels: ["bridge": "cloud"])]),
            .gauge("causeway_bridge_oldest_age_seconds", "Age of the oldest.", 1.5),
            .counter("causeway_dropped_total", "Dropped.", 0),
        ])
        #expect(
            text == """
                # HELP causeway_bridge_acked_total Messages acknowledged.
                # TYPE causeway_bridge_acked_total counter
                causeway_bridge_acked_total{bridge="cloud"} 3
                # HELP causeway_bridge_oldest_age_seconds Age of the oldest.
                # TYPE causeway_bridge_oldest_age_seconds gauge
                causeway_bridge_oldest_age_seconds 1.5
                # HELP causeway_dropped_total Dropped.
                # TYPE causeway_dropped_total counter
                causeway_dropped_total 0

                """
        )
    }

    @Test func `a histogram's buckets are cumulative and end in infinity`() {
        var histogram = MetricHistogram(bounds: [0.5, 0.1, .infinity])
        for value in [0.05, 0.1, 0.3, 7, .nan] { histogram.observe(value) }
        let text = Exposition.text([
            .histogram("h_seconds", "H.", [MetricSample(histogram, labels: ["handler": "coupon"])])
        ])
        #expect(
            text == """
                # HELP h_seconds H.
                # TYPE h_seconds histogram
                h_seconds_bucket{handler="coupon",le="0.1"} 2
                h_seconds_bucket{handler="coupon",le="0.5"} 3
                h_seconds_bucket{handler="coupon",le="+Inf"} 4
                h_seconds_sum{handler="coupon"} 7.45
                h_seconds_count{handler="coupon"} 4

                """
        )
    }

    @Test func `text from outside cannot break a line`() {
        let text = Exposition.text([
            .gauge("x", "a\\b\nc \"q\"", [MetricSample(1, labels: ["reason": "a\"b\\c\nd\re\u{0}"])])
        ])
        #expect(text == "# HELP x a\\\\b\\nc \"q\"\n# TYPE x gauge\nx{reason=\"a\\\"b\\\\c\\nd e \"} 1\n")
    }

    @Test(arguments: [
        (0.0, "0"), (-3, "-3"), (1e15, "1000000000000000"), (1e20, "1e+20"), (.nan, "NaN"), (.infinity, "+Inf"),
        (-.infinity, "-Inf"), (0.1, "0.1"), (9_007_199_254_740_994, "9.007199254740994e+15"),
    ])
    func `numbers are written exactly`(value: Double, text: String) {
        #expect(Exposition.number(value) == text)
    }

    @Test func `names of other alphabets are mended`() {
        #expect(Exposition.metricName("9 lives:é") == "_9_lives:__")
        #expect(Exposition.labelName("a:b") == "a_b")
        #expect(Exposition.metricName("") == "_")
    }

    @Test func `a name stands once, whoever brings it`() {
        let text = Exposition.text([
            .gauge("x", "X.", 1), .gauge("y", "Y.", 2), .gauge("x", "X.", [MetricSample(3, labels: ["a": "b"])]),
            MetricFamily(name: "x", help: "X.", kind: .counter, samples: [MetricSample(4)]),
        ])
        #expect(text.split(separator: "\n").filter { !$0.hasPrefix("#") } == ["x 1", "x{a=\"b\"} 3", "y 2"])
    }

    @Test func `figures beyond the limit are left out and counted`() {
        let samples = (0..<Exposition.samplesMax + 7).map { MetricSample(Double($0)) }
        let text = Exposition.text([.gauge("x", "X.", samples)])
        #expect(text.hasSuffix("causeway_metrics_left_out 7\n"))
    }
}
