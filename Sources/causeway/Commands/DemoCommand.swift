import ArgumentParser
import CausewayConfiguration
import Cloud
import Foundation
import Logging

/// `causeway demo`: the whole chain on this machine, with a proof at the end.
struct DemoCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "demo",
        abstract:
            "Run cloud, site and a few hundred devices on this machine, cut the link for a while, and prove that nothing is lost."
    )

    @Option(help: "How long devices publish.")
    var seconds = 40

    @Option(help: "How many devices there are.")
    var devices = 240

    @Option(help: "How much faster than life devices publish.")
    var speed = 1.0

    @Option(help: "The folder of glucose.csv and purchases.csv, if not beside the executable.")
    var data: String?

    @Option(help: "What cloud and site say meanwhile: debug, info, warning or error.")
    var log = "error"

    @Flag(help: "Keep the demo's folder: configurations, certificates, journals, database.")
    var keep = false

    @Flag(help: "Print the proof alone, as one line of JSON.")
    var json = false

    func validate() throws {
        guard (10...86_400).contains(seconds) else { throw ValidationError("--seconds must be from 10 to 86400.") }
        guard (8...5_000).contains(devices) else { throw ValidationError("--devices must be from 8 to 5000.") }
        guard LogConfiguration.Level(rawValue: log) != nil else {
            throw ValidationError("--log must be debug, info, warning or error.")
        }
        guard speed > 0, speed <= 1_000 else { throw ValidationError("--speed must be above 0 and at most 1000.") }
    }

    func run() async throws {
        let demo = try Demo(seconds: seconds, devices: devices, speed: speed, data: data, log: log, isQuiet: json)
        let proof: DemoProof
        do {
            proof = try await demo.run()
        } catch {
            Output.problem("The demo failed: \(error)")
            Output.problem("Its folder is kept: \(demo.folder)")
            throw ExitCode.failure
        }
        Output.line(json ? proof.json : "\n" + proof.text)
        if keep {
            if !json { Output.line("Everything is kept in \(demo.folder)") }
        } else {
            demo.clean()
        }
        guard proof.holds else {
            Output.problem("The proof does not hold.")
            throw ExitCode.failure
        }
    }
}
