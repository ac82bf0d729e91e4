// A progress bar on standard error, where that is a terminal; nothing anywhere else.

import Engine

struct ProgressBar {
    private let title: String
    private let isShown: Bool
    private let started = monotonicNanoseconds()
    private var lastDrawn: UInt64 = 0
    private static let cells = 30

    init(_ title: String, isShown: Bool = StandardError.isTerminal) {
        self.title = title
        self.isShown = isShown
    }

    var elapsedSeconds: Double { Double(monotonicNanoseconds() - started) / 1e9 }

    /// Draws at most ten times a second. `fraction` from 0 to 1; nil when the end is not known.
    mutating func update(fraction: Double?, _ detail: String) {
        let now = monotonicNanoseconds()
        guard isShown, now - lastDrawn > 100_000_000 else { return }
        lastDrawn = now
        StandardError.write("\r" + Self.line(title, fraction, detail) + "\u{1B}[K")
    }

    /// Takes the bar away, so that the next line starts clean.
    func finish() {
        guard isShown, lastDrawn > 0 else { return }
        StandardError.write("\r\u{1B}[K")
    }

    static func line(_ title: String, _ fraction: Double?, _ detail: String) -> String {
        guard let fraction else { return "\(title)  \(detail)" }
        let filled = min(cells, max(0, Int(fraction * Double(cells))))
        let bar = String(repeating: "#", count: filled) + String(repeating: ".", count: cells - filled)
        return "\(title) [\(bar)] \(Int(fraction * 100)) %  \(detail)"
    }
}
