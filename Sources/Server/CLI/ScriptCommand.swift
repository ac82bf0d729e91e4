// `script check FOLDER` and `script test FOLDER`: what is wrong with a folder of scripts, without a server.

import ArgumentParser
import Engine

struct ScriptCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "script", abstract: "Check and test a folder of scripts, without a server.",
        subcommands: [Check.self, Test.self])

    struct Check: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Compile all scripts of a folder as a node would, and report every fault with file and line.")

        @Argument(help: "The folder, as for serve --scripts.")
        var folder: String

        func run() throws {
            let files = ScriptFiles(directory: folder)
            let scripts = try files.read()
            let (types, faults) = ObjectTypes.checking(scripts)
            let tests = try files.readTests()
            var all = faults
            for test in tests {
                do throws(Failure) { _ = try TypeTests(test, of: types) } catch { all[test.file] = error }
            }
            for (_, failure) in all.sorted(by: { $0.key < $1.key }) { StandardError.write("\(failure.message)\n") }
            let count = scripts.count + tests.count
            print("\(Counted.noun(count, "script")), \(all.isEmpty ? "all right" : "\(all.count) wrong")")
            guard all.isEmpty else { throw ExitCode(CommandFailure.generalExitCode) }
        }
    }

    struct Test: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Run the tests of a folder, its files *_test.lua, with the types of its other files.")

        @Argument(help: "The folder, as for serve --scripts.")
        var folder: String

        func run() throws {
            let files = ScriptFiles(directory: folder)
            let types = try ObjectTypes(adding: try files.read())
            let tests = try files.readTests()
            guard !tests.isEmpty else {
                throw Failure(
                    .miss, "\(folder) has no tests: write NAME_test.lua with test(\"…\", function() … end)")
            }
            var (passed, failed) = (0, 0)
            for script in tests {
                for result in try TypeTests(script, of: types).run() {
                    Self.report(result)
                    if result.failure == nil { passed += 1 } else { failed += 1 }
                }
            }
            print("\(passed) passed, \(failed) failed")
            guard failed == 0 else { throw ExitCode(CommandFailure.generalExitCode) }
        }

        /// A line a test; below it what was said, and where it failed.
        private static func report(_ result: TypeTestResult) {
            let time = Counted.milliseconds(result.milliseconds)
            print("\(result.failure == nil ? "ok    " : "FAILED") \(result.file): \(result.name) (\(time))")
            for line in result.lines { print("       log: \(line)") }
            guard let failure = result.failure else { return }
            print("       \(failure.message)")
            for line in failure.stack.dropFirst() { print("         \(line)") }
        }
    }
}
