// The terminal of standard input and output, as a program has it that draws all of it; given back as it was.

import Glibc

/// One at a time. What is typed comes at once and is not shown, until `restore`.
final class Terminal: @unchecked Sendable {
    // Nothing of it changes after `init`.
    private let before: termios?

    /// Somebody looks at standard output.
    static var isThere: Bool { isatty(STDOUT_FILENO) == 1 }

    /// Takes the terminal: another page, without a cursor.
    init() {
        var attributes = termios()
        if isatty(STDIN_FILENO) == 1, tcgetattr(STDIN_FILENO, &attributes) == 0 {
            before = attributes
            attributes.c_lflag &= ~tcflag_t(ICANON | ECHO)
            tcsetattr(STDIN_FILENO, TCSANOW, &attributes)
        } else {
            before = nil
        }
        Self.write("\u{1B}[?1049h\u{1B}[?25l")
    }

    /// The page that was there before, its cursor, and the way of typing.
    func restore() {
        Self.write("\u{1B}[?25h\u{1B}[?1049l")
        if var attributes = before { tcsetattr(STDIN_FILENO, TCSANOW, &attributes) }
    }

    /// Rows and columns, as they are now.
    var size: (rows: Int, columns: Int) {
        var size = winsize()
        guard ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_row > 0, size.ws_col > 0 else {
            return (24, 80)
        }
        return (Int(size.ws_row), Int(size.ws_col))
    }

    /// Line by line over what was there, so that nothing flickers.
    func draw(_ lines: [String]) {
        Self.write("\u{1B}[H" + lines.map { $0 + "\u{1B}[K" }.joined(separator: "\n") + "\u{1B}[J")
    }

    /// A key that was typed; nil at the end of input. Blocks.
    static func readKey() -> UInt8? {
        var byte: UInt8 = 0
        while true {
            switch read(STDIN_FILENO, &byte, 1) {
            case 1: return byte
            case -1 where errno == EINTR: continue
            default: return nil
            }
        }
    }

    private static func write(_ text: String) {
        StandardOutput.print(Array(text.utf8))
        StandardOutput.flush()
    }
}
