import Foundation

/// The one place that writes to the terminal.
enum Output {
    /// A line of result, on standard output.
    static func line(_ text: String = "") {
        FileHandle.standardOutput.write(Data((text + "\n").utf8))
    }

    /// Text without a line's end, on standard output.
    static func text(_ text: String) {
        FileHandle.standardOutput.write(Data(text.utf8))
    }

    /// What went wrong, on standard error.
    static func problem(_ text: String) {
        FileHandle.standardError.write(Data((text + "\n").utf8))
    }
}
