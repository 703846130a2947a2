import ArgumentParser
import Bench
import Foundation

/// The figures of `causeway bench`, for people and for programs.
enum BenchReport {
    /// Prints the text, or writes the figures as JSON as well, or instead to standard output.
    static func write(_ figures: some Encodable, to file: String?, text: () -> String) throws {
        guard let file else { return Output.line(text()) }
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
        let data = try encoder.encode(figures)
        if file == "-" { return Output.line(String(decoding: data, as: UTF8.self)) }
        Output.line(text())
        do {
            try data.write(to: URL(fileURLWithPath: file))
        } catch {
            Output.problem("Error: \(file) cannot be written: \(error.localizedDescription)")
            throw ExitCode.failure
        }
    }

    static func text(_ result: BenchResult, _ settings: BenchSettings) -> String {
        let counted = settings.shape == .persistent ? "acknowledged/s" : "messages/s"
        var lines = result.rounds.enumerated().map { index, round in
            var line = "round \(index + 1): \(whole(round.perSecond)) \(counted), lost \(round.lost)"
            if round.refused > 0 { line += ", refused \(round.refused)" }
            if let latency = round.latency { line += ", " + text(latency) }
            return line + ", generator \(whole(round.generatorBusy * 100)) % busy"
        }
        lines.append("median: \(whole(result.medianPerSecond)) \(counted), lost \(result.lost)")
        if let acknowledged = result.acknowledged, let kept = result.kept {
            lines.append("acknowledged \(acknowledged), kept \(kept)")
        }
        return lines.joined(separator: "\n")
    }

    static func text(_ result: ConnectResult) -> String {
        var lines = ["first: " + text(result.first)]
        lines += result.storms.enumerated().map { "storm \($0 + 1): " + text($1) }
        lines.append("lost while idle: \(result.lostWhileIdle)")
        return lines.joined(separator: "\n")
    }

    private static func text(_ wave: ConnectWave) -> String {
        "\(wave.connected) connected within \(decimal(wave.seconds)) s, \(wave.dropped) dropped, "
            + "\(wave.retries) tries more; half of them after \(decimal(wave.latency.p50 / 1e6)) s"
    }

    private static func text(_ latency: BenchLatency) -> String {
        "µs: p50 \(whole(latency.p50)), p90 \(whole(latency.p90)), p99 \(whole(latency.p99)), "
            + "p99.9 \(whole(latency.p999)), most \(whole(latency.largest))"
    }

    private static func whole(_ value: Double) -> String {
        value.formatted(.number.precision(.fractionLength(0)).locale(Locale(identifier: "en_US_POSIX")))
    }

    private static func decimal(_ value: Double) -> String {
        value.formatted(.number.precision(.fractionLength(2)).locale(Locale(identifier: "en_US_POSIX")))
    }
}
