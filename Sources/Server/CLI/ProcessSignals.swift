// What signals do to a serving process: some end it in good order, one makes it read its files again, most do nothing. Only
// those that can't be caught (SIGKILL) and those of a fault of its own (SIGSEGV, SIGABRT and their kind, which leave a core)
// end it at once.

import Dispatch
import Glibc

/// Holds for as long as it lives.
final class ProcessSignals {
    /// SIGUSR1 as memcached's; SIGQUIT would leave the socket and the pid file behind, and a core. After SIGXCPU and SIGPWR
    /// there is some time left.
    private static let ends = [SIGINT, SIGTERM, SIGQUIT, SIGUSR1, SIGXCPU, SIGPWR]

    /// All others that would end a process that does not expect them. Without SIGXFSZ a write that makes a file too large fails
    /// instead. The two behind 31 are the C library's own.
    private static let meansNothing: [Int32] =
        [SIGHUP, SIGPIPE, SIGUSR2, SIGALRM, SIGVTALRM, SIGPROF, SIGIO, SIGXFSZ, SIGSTKFLT] + Array(34...64)

    private var sources: [any DispatchSourceSignal] = []

    /// From the first moment on: a terminal that closes, a log that nobody reads, or a signal that means nothing here do not
    /// end the process. Those that end it do so at once while there is nothing yet to clean up.
    static func ignoreWhatEndsNothing() { for number in meansNothing { signal(number, SIG_IGN) } }

    /// `end` and `readAgain` are called on any thread, as often as the signals come. All that come once this has returned are heard:
    /// sources are registered by another thread, in its own time, and until then a signal does what it does by default.
    init(end: @escaping @Sendable () -> Void, readAgain: @escaping @Sendable () -> Void) async {
        for number in Self.ends { await watch(number, end) }
        await watch(SIGHUP, readAgain)
    }

    private func watch(_ number: Int32, _ action: @escaping @Sendable () -> Void) async {
        let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
        source.setEventHandler(handler: action)
        await withCheckedContinuation { continuation in
            source.setRegistrationHandler { continuation.resume() }
            source.resume()
        }
        sources.append(source)
    }

    deinit { for source in sources { source.cancel() } }
}
