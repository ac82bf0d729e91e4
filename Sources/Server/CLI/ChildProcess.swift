// A program as a child process; this one, started again, ends when the pipe that is its standard input closes.

import Engine
import Synchronization
import Glibc

final class ChildProcess: Sendable {
    let identifier: pid_t
    private let inputEnd: Int32
    private let isReaped = Mutex(false)
    private static let stopMilliseconds = 5_000

    /// Runs this program, or another. Its standard error is ours; its standard output goes nowhere.
    init(program: String = "/proc/self/exe", arguments: [String]) throws(Failure) {
        var ends: [Int32] = [0, 0]
        guard pipe(&ends) == 0 else { throw Self.failure(errno) }
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, ends[0], STDIN_FILENO)
        posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0)
        // A group of its own: Ctrl-C reaches the parent alone, which ends the children in order.
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETPGROUP))
        var words: [UnsafeMutablePointer<CChar>?] = ([program] + arguments).map { strdup($0) } + [nil]
        defer { for word in words { free(word) } }
        var identifier: pid_t = 0
        let code = posix_spawn(&identifier, program, &actions, &attributes, &words, environ)
        close(ends[0])
        guard code == 0 else {
            close(ends[1])
            throw Self.failure(code)
        }
        self.identifier = identifier
        inputEnd = ends[1]
    }

    var isRunning: Bool {
        isReaped.withLock { isReaped in
            if !isReaped, waitpid(identifier, nil, WNOHANG) != 0 { isReaped = true }
            return !isReaped
        }
    }

    /// Asks it to end.
    func terminate() {
        isReaped.withLock { isReaped in if !isReaped { kill(identifier, SIGTERM) } }
    }

    /// Waits until it has ended; after a few seconds without patience.
    func stop() {
        terminate()
        let deadline = SystemEnvironment().deadline(afterMilliseconds: Self.stopMilliseconds)
        while isRunning {
            if SystemEnvironment().hasPassed(deadline) { kill(identifier, SIGKILL) }
            usleep(10_000)
        }
        close(inputEnd)
    }

    private static func failure(_ code: Int32) -> Failure {
        Failure(.unreachable, "can't start a node: \(String(cString: strerror(code)).lowercased())")
    }
}
