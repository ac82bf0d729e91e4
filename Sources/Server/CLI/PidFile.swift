// The file that names the process (-P): one process at a time has it, and takes away only its own.
//
// Unsafe: system calls on a raw descriptor.

import Engine
import Glibc

/// Locked from `init` to `remove`: of two servers that start at the same time one gets it. The lock goes with the process,
/// however that ends.
final class PidFile {
    private let path: String
    private let descriptor: Int32
    /// There was none: it goes again with a server that could not start.
    private let isNew: Bool

    /// Refuses what is a link, no file, no pid file, or that of a process that runs.
    init(_ path: String) throws(Failure) {
        var status = stat()
        isNew = lstat(path, &status) != 0
        // A link would have us write over whatever it points to; anything but a file might keep us waiting.
        let file = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0o644)
        guard file >= 0 else {
            if errno == ELOOP { throw Self.refusal(path, "is a symbolic link: name the file itself") }
            throw Self.problem(path)
        }
        self.path = path
        descriptor = file
        do throws(Failure) { try claim() } catch {
            close(file)
            throw error
        }
    }

    deinit { close(descriptor) }

    private func claim() throws(Failure) {
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw Self.problem(path) }
        guard status.st_mode & S_IFMT == S_IFREG else { throw Self.refusal(path, "is no regular file: name another") }
        guard status.st_nlink <= 1 else {
            throw Self.refusal(path, "has another name too, which would be written over: name another file")
        }
        let isFree = flock(descriptor, LOCK_EX | LOCK_NB) == 0
        var text = [UInt8](repeating: 0, count: 64)
        let count = max(0, pread(descriptor, &text, text.count, 0))
        let words = String(decoding: text[..<count], as: UTF8.self).split(whereSeparator: \.isWhitespace)
        guard isFree else {
            let owner = words.first.map { "process \($0)" } ?? "a server"
            throw Self.refusal(path, "belongs to \(owner), which runs: stop that one, or name another file")
        }
        guard let first = words.first else {
            if status.st_size > 0 { throw Self.refusal(path, "is no pid file, and not written over: name another") }
            return
        }
        guard words.count == 1, let pid = Int32(first), pid > 0 else {
            throw Self.refusal(path, "is no pid file, and not written over: name another")
        }
        guard pid == getpid() || !Self.runs(pid, before: status.st_mtim.tv_sec) else {
            throw Self.refusal(path, "names process \(pid), which runs: stop it, or name another file")
        }
    }

    /// Writes this process's id on a line of its own.
    func write() throws(Failure) {
        let text = Array("\(getpid())\n".utf8)
        guard ftruncate(descriptor, 0) == 0, pwrite(descriptor, text, text.count, 0) == text.count else {
            throw Self.problem(path)
        }
    }

    /// Gives it to the user that the process is about to become.
    func give(to user: uid_t, _ group: gid_t) { _ = fchown(descriptor, user, group) }

    /// The server could not start: the file is not there, or names nobody where it named a server that is gone.
    func abandon() { if isNew { remove() } else { _ = ftruncate(descriptor, 0) } }

    /// Takes it away, unless another file is there by now. Where its folder can't be changed any more it is left empty.
    func remove() {
        var (own, present) = (stat(), stat())
        guard fstat(descriptor, &own) == 0, lstat(path, &present) == 0, own.st_ino == present.st_ino,
            own.st_dev == present.st_dev
        else { return }
        if unlink(path) != 0 { _ = ftruncate(descriptor, 0) }
    }

    /// Whether a process runs, and did so before the file was written: numbers are given out anew.
    private static func runs(_ pid: Int32, before written: Int) -> Bool {
        guard kill(pid, 0) == 0 || errno == EPERM else { return false }
        let fields = statistics(of: pid)
        // A zombie has ended: only nobody has asked yet how.
        if let state = fields.first, state == "Z" || state == "X" || state == "x" { return false }
        guard let started = startSecond(fields) else { return true }
        return started <= written + 1
    }

    /// What the kernel tells of a process, from its state on; nothing where it tells nothing.
    private static func statistics(of pid: Int32) -> [Substring] {
        // The second field, a name in brackets, may have blanks.
        guard let text = try? FilePath.read("/proc/\(pid)/stat"), let name = text.lastIndex(of: UInt8(ascii: ")"))
        else { return [] }
        return String(decoding: text[(name + 1)...], as: UTF8.self).split(separator: " ")
    }

    /// Unix seconds, by the 22nd field of all and the start of the machine; nil where the kernel does not tell.
    private static func startSecond(_ fields: [Substring]) -> Int? {
        guard let boot = try? FilePath.read("/proc/stat") else { return nil }
        let line = String(decoding: boot, as: UTF8.self).split(separator: "\n").first { $0.hasPrefix("btime ") }
        guard fields.count > 19, let ticks = Int(fields[19]), let line, let since = Int(line.dropFirst(6)) else {
            return nil
        }
        return since + ticks / max(1, sysconf(Int32(_SC_CLK_TCK)))
    }

    private static func refusal(_ path: String, _ reason: String) -> Failure {
        Failure(.unreachable, "the pid file \(path) \(reason)")
    }

    private static func problem(_ path: String) -> Failure {
        Failure(.unreachable, "can't write the pid file \(path): \(String(cString: strerror(errno)))")
    }
}
