import Foundation

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// Asks for a password without showing it.
enum PasswordPrompt {
    /// The longest password that MQTT can carry, in bytes.
    static let bytesMax = 65_535

    /// Asks on the terminal, twice where it is a new one. Where the standard input is no terminal, a line of it is the
    /// password.
    static func ask(_ prompt: String, isRepeated: Bool) throws -> String {
        guard isatty(STDIN_FILENO) == 1 else { return try checked(readLine(strippingNewline: true)) }
        let password = try withoutEcho(prompt)
        guard isRepeated else { return password }
        guard try withoutEcho("Again: ") == password else { throw StartFailure("The two passwords differ") }
        return password
    }

    private static func withoutEcho(_ prompt: String) throws -> String {
        FileHandle.standardError.write(Data(prompt.utf8))
        var shown = termios()
        guard tcgetattr(STDIN_FILENO, &shown) == 0 else { throw StartFailure("The terminal cannot be read") }
        var hidden = shown
        hidden.c_lflag &= ~tcflag_t(ECHO)
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &hidden)
        defer {
            tcsetattr(STDIN_FILENO, TCSAFLUSH, &shown)
            FileHandle.standardError.write(Data("\n".utf8))
        }
        return try checked(readLine(strippingNewline: true))
    }

    private static func checked(_ line: String?) throws -> String {
        guard let line, !line.isEmpty else { throw StartFailure("No password was given") }
        guard line.utf8.count <= bytesMax else { throw StartFailure("A password has at most \(bytesMax) bytes") }
        return line
    }
}
