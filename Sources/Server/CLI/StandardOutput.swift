// Standard output: there from the start, written line by line, and not done before all of it is written.

import Engine

#if canImport(Glibc)
    @preconcurrency import Glibc
#endif

enum StandardOutput {
    /// A stream that the caller closed becomes /dev/null: otherwise the next socket would get its number, and our output.
    static func prepare() {
        for descriptor in STDIN_FILENO...STDERR_FILENO where fcntl(descriptor, F_GETFD) == -1 {
            _ = open("/dev/null", O_RDWR)  // takes the lowest free number, this one
        }
        setvbuf(stdout, nil, _IOLBF, 0)
    }

    /// Throws when what was printed could not be written: an answer that nobody got is no success.
    static func finish() throws(Failure) {
        let hasFailed = fflush(stdout) != 0
        let code = errno
        guard hasFailed || ferror(stdout) != 0 else { return }
        if code == EPIPE { exit(CommandFailure.generalExitCode) }  // a reader that has seen enough wants to hear no more
        let why = hasFailed ? String(cString: strerror(code)).lowercased() : "not all of it could be written"
        throw Failure(.incompleteData, "can't write to standard output: \(why)")
    }
}
