import CausewayConfiguration
import Foundation
import Logging

extension Logger {
    /// A logger as the configuration asks for it, on standard error.
    static func make(_ label: String, _ configuration: LogConfiguration) -> Logger {
        var logger = Logger(label: label) { label in
            switch configuration.format {
            case .text: StreamLogHandler.standardError(label: label)
            case .json: JSONLogHandler(label: label)
            }
        }
        logger.logLevel = Logger.Level(rawValue: configuration.level.rawValue) ?? .info
        return logger
    }
}

/// One JSON object a line, on standard error, for log collectors.
struct JSONLogHandler: LogHandler {
    let label: String
    var logLevel = Logger.Level.info
    var metadata: Logger.Metadata = [:]
    var metadataProvider: Logger.MetadataProvider?

    init(label: String) { self.label = label }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        var line: [String: String] = [:]
        let own = metadata.merging(metadataProvider?.get() ?? [:]) { _, provided in provided }
        for (key, value) in own.merging(event.metadata ?? [:], uniquingKeysWith: { _, given in given }) {
            line[key] = "\(value)"
        }
        line["time"] = Date().formatted(.iso8601.time(includingFractionalSeconds: true))
        line["level"] = event.level.rawValue
        line["logger"] = label
        line["message"] = "\(event.message)"
        guard
            let data = try? JSONSerialization.data(
                withJSONObject: line,
                options: [.sortedKeys, .withoutEscapingSlashes]
            )
        else { return }
        FileHandle.standardError.write(data + Data("\n".utf8))
    }
}
