// Standard output: there from the start, written line by line, and not done before all of it is written.

import Engine

@preconcurrency import Glibc

enum StandardOutput {
    /// A stream that the caller closed becomes /dev/null: otherwise the next socket would get its number, and our output.
    static func prepare() {
        for descriptor in STDIN_FILENO...STDERR_FILENO where fcntl(descriptor, F_GETFD) == -1 {
            _ = open("/dev/null", O_RDWR)  // takes the lowest free number, this one
        }
        setvbuf(stdout, nil, _IOLBF, 0)
    }

    static func print(_ bytes: [UInt8]) {
        _ = bytes.withUnsafeBytes { fwrite($0.baseAddress, 1, $0.count, stdout) }
    }

    /// A value as it is, and the end of its line.
    static func printLine(_ bytes: [UInt8]) {
        print(bytes)
        putc(Int32(UInt8(ascii: "\n")), stdout)
    }

    /// Without waiting for the end of a line.
    static func flush() { fflush(stdout) }

    /// Throws when what was printed could not be written: an answer that nobody got is no success.
    static func finish() throws(Failure) {
        let isFlushed = fflush(stdout) == 0
        guard !isFlushed || ferror(stdout) != 0 else { return }
        var information = stat()
        if fstat(STDOUT_FILENO, &information) == 0, information.st_mode & S_IFMT == S_IFIFO {
            exit(CommandFailure.generalExitCode)  // a reader that has seen enough wants to hear no more
        }
        throw Failure(.incompleteData, "can't write all of the answer to standard output: is the disk full?")
    }
}
