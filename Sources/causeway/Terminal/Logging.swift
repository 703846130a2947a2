import CausewayConfiguration
import Foundation
import Logging
import Synchronization

extension Logger {
    /// A logger as the configuration asks for it: on standard error, or into a file.
    ///
    /// - Throws: ``StartFailure`` if the file cannot be written.
    static func make(_ label: String, _ configuration: LogConfiguration) throws -> Logger {
        guard let level = Logger.Level(rawValue: configuration.level.rawValue) else {
            return Logger(label: label) { _ in SwiftLogNoOpLogHandler() }
        }
        let output = try configuration.file.map { try LogFile(path: $0) }
        var logger = Logger(label: label) { label in
            switch (configuration.format, output) {
            case (.text, nil): StreamLogHandler.standardError(label: label)
            case (let format, let output): LineLogHandler(label: label, format: format, output: output)
            }
        }
        logger.logLevel = level
        return logger
    }
}

/// A file that log lines are appended to.
final class LogFile: Sendable {
    private let handle: Mutex<FileHandle>

    init(path: String) throws {
        let descriptor = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0o640)
        guard descriptor >= 0 else {
            throw StartFailure("\(path) cannot be written: \(String(cString: strerror(errno)))")
        }
        handle = Mutex(FileHandle(fileDescriptor: descriptor, closeOnDealloc: true))
    }

    /// A line that the disk refuses is lost: there is nobody to tell.
    func append(_ data: Data) { handle.withLock { try? $0.write(contentsOf: data) } }
}

/// One line for each event: text for people, or a JSON object for log collectors.
struct LineLogHandler: LogHandler {
    let label: String
    let format: LogConfiguration.Format
    /// Nil: standard error.
    let output: LogFile?
    var logLevel = Logger.Level.info
    var metadata: Logger.Metadata = [:]
    var metadataProvider: Logger.MetadataProvider?

    init(label: String, format: LogConfiguration.Format, output: LogFile?) {
        self.label = label
        self.format = format
        self.output = output
    }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        let own = metadata.merging(metadataProvider?.get() ?? [:]) { _, provided in provided }
        let all = own.merging(event.metadata ?? [:], uniquingKeysWith: { _, given in given })
        let time = Date().formatted(.iso8601.time(includingFractionalSeconds: true))
        var data: Data
        switch format {
        case .text:
            let pairs = all.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }.joined(separator: " ")
            data = Data("\(time) \(event.level.rawValue) \(label): \(pairs) \(event.message)".utf8)
        case .json:
            var line = all.mapValues { "\($0)" }
            line["time"] = time
            line["level"] = event.level.rawValue
            line["logger"] = label
            line["message"] = "\(event.message)"
            let options: JSONSerialization.WritingOptions = [.sortedKeys, .withoutEscapingSlashes]
            guard let object = try? JSONSerialization.data(withJSONObject: line, options: options) else { return }
            data = object
        }
        data.append(UInt8(ascii: "\n"))
        if let output { output.append(data) } else { FileHandle.standardError.write(data) }
    }
}
