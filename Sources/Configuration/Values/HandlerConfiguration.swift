/// A handler on the site: an entry of `handlers:`.
public struct HandlerConfiguration: Sendable, Hashable {
    /// What becomes of a handler's decisions, for plugins that know the difference.
    public enum Mode: String, Sendable, Hashable, CaseIterable {
        /// Published as proposals.
        case suggest
        /// Carried out after a person's confirmation.
        case confirm
        /// Carried out.
        case auto
    }

    /// `name`: unique; its position and state in the journal hang on it.
    public var name: String
    /// `plugin`: which plugin, such as `retail.coupon`.
    public var plugin: String
    /// `topics`: topic filters whose wildcards may be named: `ward/+/bed/{bed}/cgm`.
    public var topics: [String]
    /// `key`: the template that partitions the handler's state, such as `{bed}`. Nil: the plugin's own choice.
    public var key: String?
    /// `mode`: nil: the plugin's own default, which is `suggest` for medication.
    public var mode: Mode?
    /// `timeout`: how long one decision may take. Nil: no limit. Not acted upon yet, which a warning says.
    public var timeout: Duration?
    /// `enabled`: Default true.
    public var isEnabled: Bool
    /// `with`: the plugin's parameters. `when`, `publish` and `command`, which some plugins take beside `with`, are
    /// found here under their own names.
    public var parameters: [String: ConfigurationValue]
    /// Where it stands in the file.
    public var position: SourcePosition
    /// Where each parameter stands, by its path below `with`, such as `target.low` or `steps[0]`.
    public var parameterPositions: [String: SourcePosition]
}
