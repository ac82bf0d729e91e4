// How a command ends when it can't do what it was asked: one line on standard error, and an exit code.

import ArgumentParser
package import Engine
package import Gather
import Glibc

enum CommandFailure {
    static let generalExitCode: Int32 = 1
    static let usageExitCode: Int32 = 64

    /// Help and version go to standard output with exit code 0; anything else is one line that names the thing.
    static func exit(with error: any Error) -> Never {
        if let failure = error as? Failure {
            printError(failure.message)
            Glibc.exit(generalExitCode)
        }
        if let code = error as? ExitCode { Glibc.exit(code.rawValue) }
        let code = Cacheismo.exitCode(for: error)
        if code == .success {
            print(Cacheismo.fullMessage(for: error))
            do { try StandardOutput.finish() } catch { exit(with: error) }
            Glibc.exit(0)
        }
        let message = Cacheismo.message(for: error).split(separator: "\n").joined(separator: " ")
        printError("\(message) (see cacheismo --help, cacheismo COMMAND --help)")
        Glibc.exit(code == .validationFailure ? usageExitCode : generalExitCode)
    }

    static func printError(_ message: String) {
        StandardError.write(CommandLineBytes.bytes(of: "cacheismo: \(message)\n"))
    }
}

/// Standard error, unbuffered.
enum StandardError {
    static var isTerminal: Bool { isatty(STDERR_FILENO) == 1 }

    static func write(_ text: String) { write(Array(text.utf8)) }

    static func write(_ text: [UInt8]) {
        var bytes = text[...]
        while !bytes.isEmpty {
            let written = bytes.withUnsafeBytes { Glibc.write(STDERR_FILENO, $0.baseAddress, $0.count) }
            guard written > 0 else { return }
            bytes = bytes.dropFirst(written)
        }
    }
}

extension Failure {
    /// The remedy for the commonest failure of all, a server that is not there.
    package func withHint(server: HostPort) -> Failure {
        guard subjects.contains(.unreached("\(server)")) else { return self }
        return saying(
            "\(message) (is a node running there? start one with: cacheismo serve -p \(server.port))")
    }
}
