public import HandlerKit

/// `medication.insulin`: proposes a temporary basal rate for a subcutaneous insulin pump from a glucose sensor's
/// readings. Prediction and correction follow Loop, caps and sensor rules oref0.
///
/// **This is not a medical device.** It advises: by default it publishes proposals that a person acts on or not.
/// Command a pump with it (`mode: confirm`, `mode: auto`) only where law, clinicians and the pump's own limits allow.
///
/// Kinds of input, by the last level of the topic; times (`ts`) are ISO 8601 or milliseconds, optional but wanted:
/// - `cgm`: `{"value": 142, "unit": "mg/dL", "ts": …, "dev": …, "boot": …, "seq": …, "quality": "ok", "noise": 1}`;
///   `unit` is `mg/dL` or `mmol/L`, anything else is refused.
/// - `insulin`: a dose given beyond basal, `{"units": 2.5, "ts": …, "dev": …, "seq": …}`.
/// - `carbs`: `{"g": 45, "absorption_min": 180, "ts": …, "dev": …, "seq": …}`.
/// - `pump`: what the pump delivers, `{"rate": 1.0, "ts": …, "dev": …, "seq": …}` in U/h.
/// - `order`: the patient's settings, `{"basal": 1.0, "isf": 50, "carb_ratio": 10}`, in place of the configured ones.
/// - `confirm`: a person agrees, `{"cmdId": …, "by": …}` (mode `confirm`).
public struct InsulinHandler: Handler {
    /// How far it may go by itself.
    enum Mode: String, Sendable { case suggest, confirm, auto }

    let mode: Mode
    let target: BasalCorrection.Target
    let model: InsulinModel
    let sensor: SensorGuard
    let caps: RateCaps
    let order: Order
    let outputSeconds: UInt32
    let pumpStaleSeconds: Double
    let commandTopic: TopicTemplate
    let outputTopic: TopicTemplate

    /// Makes a handler from its configuration.
    public init(parameters: HandlerParameters) throws(HandlerConfigurationError) {
        let values = try parameters.validated(by: Self.plugin)
        self.mode = Mode(rawValue: values.text("mode")) ?? .suggest
        let (low, high) = try Self.range(values.text("target"))
        self.target = BasalCorrection.Target(low: low, high: high, suspend: values.number("suspend"))
        guard target.suspend < low else {
            throw HandlerConfigurationError(
                parameter: "suspend",
                problem: "\(target.suspend) mg/dL is not below the target",
                hint: "write a number below \(low)"
            )
        }
        let action = values.number("dia_min")
        let peak = values.number("peak_min")
        guard peak < 0.45 * action else {
            throw HandlerConfigurationError(
                parameter: "peak_min",
                problem: "insulin that peaks at \(peak) min cannot end at \(action) min",
                hint: "write less than 45 % of dia_min, such as 75 for 360"
            )
        }
        self.model = InsulinModel(actionMinutes: action, peakMinutes: peak, delayMinutes: values.number("delay_min"))
        self.sensor = SensorGuard(
            staleSeconds: values.number("stale"),
            futureSeconds: values.number("future")
        )
        self.caps = RateCaps(
            maxBasal: values.number("max_basal"),
            maxDailyBasal: 0,
            dailyFactor: values.number("max_basal_x_daily"),
            currentFactor: values.number("max_basal_x_current"),
            maxInsulinOnBoard: values.number("max_iob"),
            grid: values.number("grid")
        )
        self.order = Order(
            basal: values.number("basal"),
            sensitivity: values.number("isf"),
            carbRatio: values.number("carb_ratio")
        )
        self.outputSeconds = UInt32(values.number("expires"))
        self.pumpStaleSeconds = values.number("pump_stale")
        self.commandTopic = try Self.template("command_topic", values.text("command_topic"))
        self.outputTopic = try Self.template("output_topic", values.text("output_topic"))
    }

    private static func template(
        _ parameter: String,
        _ text: String
    ) throws(HandlerConfigurationError) -> TopicTemplate {
        let hint = "write a topic with {key} in it, and {handler} or {kind} if wanted"
        do {
            let template = try TopicTemplate(text)
            guard template.topic(["handler": "h", "key": "k", "kind": "x"]) != nil, template.places.contains("key")
            else {
                throw TopicPatternError(pattern: text, problem: "it needs {key}, and knows no other place but two")
            }
            return template
        } catch {
            throw HandlerConfigurationError(parameter: parameter, problem: "\(error)", hint: hint)
        }
    }

    /// Reads `100-140 mg/dL` or `5.6-7.8 mmol/L`.
    private static func range(_ text: String) throws(HandlerConfigurationError) -> (Double, Double) {
        let parts = text.split(separator: " ")
        let ends = (parts.first ?? "").split(separator: "-").compactMap { Double($0) }
        guard parts.count == 2, ends.count == 2, let unit = GlucoseUnit(rawValue: String(parts[1])) else {
            throw HandlerConfigurationError(
                parameter: "target",
                problem: "\(text) is not a range of glucose",
                hint: "write it as in 100-140 mg/dL or 5.6-7.8 mmol/L"
            )
        }
        let low = unit.milligrams(ends[0])
        let high = unit.milligrams(ends[1])
        guard low >= 80, high <= 250, low <= high else {
            throw HandlerConfigurationError(
                parameter: "target",
                problem: "\(text) is not within 80 to 250 mg/dL (4.4 to 13.9 mmol/L)",
                hint: "write the lower end first, as in 100-140 mg/dL"
            )
        }
        return (low, high)
    }

    /// A key that nothing is known of.
    public func initialState(key: String) -> State { State() }

    /// Decides about one input; see the type for the kinds there are.
    public func reduce(_ state: inout State, _ input: HandlerInput, _ context: HandlerContext) -> Decision {
        switch input {
        case .timer: return sensorIsSilent(&state, context)
        case .message(let message):
            let payload: JSONValue
            do {
                payload = try message.json()
            } catch {
                return .rejected("the payload is not JSON: \(error)")
            }
            let stamp = Stamp(payload, context)
            switch message.kind {
            case "cgm", "glucose": return reading(&state, payload, stamp, context)
            case "insulin", "bolus": return dose(&state, payload, stamp, context)
            case "carbs": return carbs(&state, payload, stamp, context)
            case "pump": return pumpReport(&state, payload, stamp, context)
            case "order": return newOrder(&state, payload, context)
            case "confirm": return confirm(&state, payload, context)
            default: return .rejected("the topic's last level is not cgm, insulin, carbs, pump, order or confirm")
            }
        }
    }
}

/// The units glucose is measured in. No others are taken: a factor of 18 is a fatal dose.
enum GlucoseUnit: String, Sendable {
    case milligramsPerDecilitre = "mg/dL"
    case millimolesPerLitre = "mmol/L"

    /// mg/dL for one mmol/L: glucose has 180.182 g/mol.
    static let factor = 18.0182

    func milligrams(_ value: Double) -> Double { self == .milligramsPerDecilitre ? value : value * Self.factor }
}
