// Where the options of this process came from: read once, before the command line is parsed, and told of with what is found wrong
// with them later.

import ArgumentParser
import Engine
import Glibc
import Synchronization

enum OptionOrigins {
    private static let kept = Mutex<OptionSources?>(nil)

    /// What the file and the variables passed over, for the log.
    static var notes: [String] { kept.withLock { $0?.notes } ?? [] }

    /// For the parser. Ends the process, with all there is to say, where they can't be used.
    static func arguments() -> [String] {
        let sources = OptionSources(commandLine: CommandLineBytes.arguments, environment: environment) {
            path throws(Failure) in try FilePath.read(path, bytesMax: ConfigurationFile.bytesMax + 1)
        }
        kept.withLock { $0 = sources }
        // What the command line alone has wrong is the parser's to say.
        guard
            !sources.faults.isEmpty || (!sources.settings.isEmpty && OptionSources.complaint(sources.arguments) != nil)
        else {
            return sources.arguments
        }
        end(with: sources.allFaults())
    }

    /// Ends the process with the faults of a node's options; returns where there are none.
    static func endIfFaulty(_ command: Serve) {
        let faults = command.faults()
        guard !faults.isEmpty else { return }
        let sources = kept.withLock { $0 }
        end(
            with: faults.map { fault in
                sources?.place(of: fault.options).map { "\($0): \(fault.message)" } ?? fault.message
            })
    }

    /// Who awaits word of how far the node is; nil where nobody does.
    static func serviceNotifier() throws(Failure) -> ServiceNotifier? {
        guard let place = environment["NOTIFY_SOCKET"], !place.isEmpty else { return nil }
        return try ServiceNotifier(place: place)
    }

    private static func end(with lines: [String]) -> Never {
        for line in lines { CommandFailure.printError(line) }
        Glibc.exit(CommandFailure.usageExitCode)
    }

    private static var environment: [String: String] {
        var variables: [String: String] = [:]
        var entry = environ
        while let text = entry.pointee {
            let bytes = UnsafeRawBufferPointer(start: text, count: strlen(text))
            if let end = bytes.firstIndex(of: UInt8(ascii: "=")) {
                variables[String(decoding: bytes[..<end], as: UTF8.self)] =
                    CommandLineBytes.text(Array(bytes[(end + 1)...]))
            }
            entry += 1
        }
        return variables
    }
}

extension Serve {
    /// Runs the node until it ends, or says whether it could be.
    func serve() async throws {
        if start.checks {
            OptionOrigins.endIfFaulty(self)
            for note in OptionOrigins.notes { CommandFailure.printError(note) }
            print("the options can be used")
            return try StandardOutput.finish()
        }
        do { try await run() } catch let failure as Failure {
            // Where the options are to blame it is said of all of them, and where they were given.
            OptionOrigins.endIfFaulty(self)
            throw failure
        }
    }
}
