// The fuzzers' program: `Fuzz TARGET [libFuzzer's options] [corpus folder]`; see `make fuzz`.
//
// Unsafe: libFuzzer calls back with a raw pointer.

import Glibc

@_silgen_name("LLVMFuzzerRunDriver")
private func runDriver(
    _ count: UnsafeMutablePointer<CInt>,
    _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>>,
    _ body: @convention(c) (UnsafePointer<UInt8>?, Int) -> CInt
) -> CInt

@main enum Fuzz {
    /// Set once, before the driver runs.
    nonisolated(unsafe) static var body: FuzzBody = FuzzBodies.all[0]

    static func main() {
        guard CommandLine.argc > 1, let body = FuzzBodies.all.first(where: { $0.name == CommandLine.arguments[1] })
        else {
            print("usage: Fuzz \(FuzzBodies.all.map(\.name).joined(separator: "|")) [options] [corpus]")
            exit(64)
        }
        self.body = body
        // The target's name goes; what remains looks to libFuzzer as if it were its own.
        var arguments = CommandLine.unsafeArgv
        arguments[1] = arguments[0]
        arguments += 1
        var count = CommandLine.argc - 1
        exit(
            runDriver(&count, &arguments) { start, count in
                let input = [UInt8](UnsafeBufferPointer(start: start, count: count))
                if let problem = Fuzz.body.run(input) { fatalError(problem) }
                return 0
            })
    }
}
