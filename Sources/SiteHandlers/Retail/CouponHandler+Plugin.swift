public import HandlerKit

extension CouponHandler {
    /// The plugin's name and parameters.
    public static let plugin = PluginDescription(
        name: "retail.coupon",
        version: "1",
        summary: "Gives a coupon to a returning customer who stays a while and has agreed to it.",
        notice: "Uses personal data on the site; only customers who gave consent get anything.",
        defaultKey: "{customer}",
        parameters: rules + presence + outputs
    )

    private static let rules: [ParameterDescription] = [
        ParameterDescription(
            "campaign",
            .text(bytesMax: 64),
            default: "welcome-back",
            "the campaign's name; part of every coupon's identifier"
        ),
        ParameterDescription("offer", .text(bytesMax: 200), default: "Welcome back!", "what the customer reads"),
        ParameterDescription("discount_pct", .number(0...100, unit: "%"), default: 10, "the discount"),
        ParameterDescription(
            "site_key",
            .secret(bytesMin: 16),
            default: nil,
            "the key that coupon identifiers are made with; keep it, or coupons are given twice"
        ),
        ParameterDescription("dwell", .duration(0...3600), default: "20s", "how long a customer must have stayed"),
        ParameterDescription(
            "min_purchase_days",
            .integer(0...16),
            default: 2,
            "on how many earlier days the customer must have bought something; 0 takes everyone"
        ),
        ParameterDescription("recency", .duration(3600...63_072_000), default: "90d", "how long ago the last may be"),
        ParameterDescription("cooldown", .duration(60...31_536_000), default: "28d", "the time between two coupons"),
        ParameterDescription("daily_cap", .integer(1...100), default: 1, "the most coupons for a customer on one day"),
        ParameterDescription(
            "budget",
            .integer(0...1_000_000_000),
            default: 0,
            "the most coupons of the campaign; 0 is no limit"
        ),
        ParameterDescription(
            "holdout_pct",
            .integer(0...100),
            default: 10,
            "the share of customers who get nothing, to measure the effect"
        ),
        ParameterDescription("quiet_hours", .text(bytesMax: 20), default: "", "when nobody is written to, 21:30-08:00"),
        ParameterDescription("utc_offset_min", .integer(-840...840), default: 0, "the site's clock against UTC"),
        ParameterDescription("valid", .duration(60...31_536_000), default: "14d", "how long a coupon can be used"),
    ]

    private static let presence: [ParameterDescription] = [
        ParameterDescription("enter_rssi", .number(-127...0, unit: "dBm"), default: -75, "who is nearer is here"),
        ParameterDescription("exit_rssi", .number(-127...0, unit: "dBm"), default: -85, "who is further is not"),
        ParameterDescription("min_sightings", .integer(1...8), default: 3, "how many sightings make a presence"),
        ParameterDescription("window", .duration(1...60), default: "10s", "within which time"),
        ParameterDescription("lost", .duration(5...600), default: "60s", "after how much silence a stay is over"),
        ParameterDescription("visit_gap", .duration(60...86_400), default: "10m", "after which a visit is a new one"),
    ]

    private static let outputs: [ParameterDescription] = [
        ParameterDescription(
            "output_topic",
            .text(bytesMax: 200),
            default: "hnd/{handler}/{key}/coupon",
            "where coupons are published"
        )
    ]
}
