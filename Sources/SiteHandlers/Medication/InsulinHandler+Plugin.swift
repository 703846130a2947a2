public import HandlerKit

extension InsulinHandler {
    /// The plugin's name and parameters.
    public static let plugin = PluginDescription(
        name: "medication.insulin",
        version: "1",
        summary: "Proposes temporary basal rates for an insulin pump from a glucose sensor's readings.",
        notice: "Not a medical device. It advises; mode confirm and auto need the approval of those who answer for it.",
        defaultKey: "{bed}",
        parameters: [
            ParameterDescription(
                "mode",
                .choice(["suggest", "confirm", "auto"]),
                default: "suggest",
                "suggest publishes proposals, confirm commands after a person's confirmation, auto commands"
            ),
            ParameterDescription(
                "target",
                .text(bytesMax: 40),
                default: "110-130 mg/dL",
                "the range to bring glucose into"
            ),
            ParameterDescription(
                "suspend",
                .number(60...120, unit: "mg/dL"),
                default: 80,
                "no insulin if anything predicted is below"
            ),
            ParameterDescription(
                "basal",
                .number(0...10, unit: "U/h"),
                default: 0,
                "the programmed basal rate; 0: an order message must say it"
            ),
            ParameterDescription(
                "isf",
                .number(0...400, unit: "mg/dL/U"),
                default: 0,
                "by how much one unit lowers glucose; 0: an order message must say it"
            ),
            ParameterDescription(
                "carb_ratio",
                .number(0...150, unit: "g/U"),
                default: 0,
                "the carbohydrate one unit makes up for; 0: an order message must say it"
            ),
            ParameterDescription("max_basal", .number(0...15, unit: "U/h"), default: 3, "the hard limit of any rate"),
            ParameterDescription(
                "max_basal_x_current",
                .number(1...6, unit: ""),
                default: 4,
                "the limit as a multiple of the basal rate now"
            ),
            ParameterDescription(
                "max_basal_x_daily",
                .number(1...6, unit: ""),
                default: 3,
                "the limit as a multiple of the day's highest basal rate"
            ),
            ParameterDescription(
                "max_iob",
                .number(0...15, unit: "U"),
                default: 0,
                "the insulin on board above which nothing is added to basal; 0 never adds"
            ),
            ParameterDescription("dia_min", .number(180...480, unit: "min"), default: 360, "how long insulin acts"),
            ParameterDescription("peak_min", .number(25...120, unit: "min"), default: 75, "when it acts most"),
            ParameterDescription("delay_min", .number(0...30, unit: "min"), default: 10, "when it begins to act"),
            ParameterDescription("stale", .duration(60...900), default: "12m", "older readings are not dosed on"),
            ParameterDescription(
                "future",
                .duration(0...600),
                default: "5m",
                "readings further in the future are not dosed on"
            ),
            ParameterDescription(
                "pump_stale",
                .duration(60...3600),
                default: "15m",
                "without a pump report for so long nothing is commanded"
            ),
            ParameterDescription(
                "expires",
                .duration(30...1800),
                default: "5m",
                "after how long a proposal or command must not be acted on"
            ),
            ParameterDescription("grid", .number(0.01...0.5, unit: "U/h"), default: 0.05, "the pump's step"),
            ParameterDescription(
                "command_topic",
                .text(bytesMax: 200),
                default: "pump/{key}/cmd/temp_basal",
                "where commands go"
            ),
            ParameterDescription(
                "output_topic",
                .text(bytesMax: 200),
                default: "hnd/{handler}/{key}/{kind}",
                "where proposals and refusals go"
            ),
        ]
    )
}
