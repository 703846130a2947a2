import Foundation

/// The demo's progress: one line that is rewritten on a terminal, a line every few seconds elsewhere.
struct DemoScreen {
    struct Figures {
        var seconds: Int
        var published: UInt64
        var decided: UInt64
        var bridged: UInt64
        var stored: UInt64
        var isLinkUp: Bool
    }

    private static let plainEverySeconds = 5

    let isQuiet: Bool
    private let isTerminal = isatty(STDOUT_FILENO) == 1
    private var lastPlain = -DemoScreen.plainEverySeconds

    init(isQuiet: Bool) { self.isQuiet = isQuiet }

    func say(_ text: String) {
        guard !isQuiet else { return }
        Output.line(isTerminal ? "\r\u{1B}[K" + text : text)
    }

    mutating func show(_ figures: Figures) {
        guard !isQuiet else { return }
        let waiting = figures.bridged >= figures.stored ? figures.bridged - figures.stored : 0
        let line = """
            \(figures.seconds) s  published \(figures.published)  decided \(figures.decided)  bridged \(figures.bridged)  \
            stored \(figures.stored)  waiting \(waiting)  link \(figures.isLinkUp ? "up" : "DOWN")
            """
        if isTerminal {
            Output.text("\r\u{1B}[K" + line)
        } else if figures.seconds - lastPlain >= Self.plainEverySeconds {
            lastPlain = figures.seconds
            Output.line(line)
        }
    }
}
