/// Which kind of configuration a file is.
public enum ConfigurationKind: String, Sendable, Hashable, CaseIterable {
    /// A site node's.
    case site
    /// An aggregator's.
    case cloud

    /// The kind of a text by its top-level settings: `cloud:` makes an aggregator's. What cannot be read counts as a
    /// site's; loading it tells why.
    public static func of(text: String) -> ConfigurationKind {
        guard let (root, _) = try? SourceParser.parse(text, environment: [:]), let root,
            case .mapping(let entries) = root.content
        else { return .site }
        let keys = Set(entries.map(\.key))
        if keys.contains("site") { return .site }
        return keys.contains("cloud") || keys.contains("broker") || keys.contains("broker_address") ? .cloud : .site
    }
}
