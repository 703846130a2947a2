import CausewayConfiguration
import HandlerKit
import HandlerRuntime

/// What only a plugin knows of its handler's configuration, told with the place in the file.
enum HandlerChecks {
    /// Stands for the site's key, which is not read for a check.
    private static let placeholderKey = String(repeating: "0", count: 64)

    /// The first mistake of each handler of a site.
    static func problems(in site: SiteConfiguration) -> [ConfigurationProblem] {
        site.handlers.enumerated().compactMap { index, handler in
            do {
                let siteKey = site.siteKeyFile == nil ? nil : placeholderKey
                try HandlerRegistration.make(handler, siteKey: siteKey).check()
                return nil
            } catch let error as HandlerConfigurationError {
                return problem(error, of: handler, at: index, in: site)
            } catch {
                return ConfigurationProblem(
                    file: site.file,
                    position: handler.position,
                    path: "handlers[\(index)]",
                    message: "\(error)"
                )
            }
        }
    }

    private static func problem(
        _ error: HandlerConfigurationError,
        of handler: HandlerConfiguration,
        at index: Int,
        in site: SiteConfiguration
    ) -> ConfigurationProblem {
        let isField = ["topics", "key", "plugin", "name"].contains(error.parameter)
        return ConfigurationProblem(
            file: site.file,
            position: handler.parameterPositions[error.parameter] ?? handler.position,
            path: "handlers[\(index)]\(isField ? "" : ".with").\(error.parameter)",
            message: error.problem,
            hint: error.hint
        )
    }
}
