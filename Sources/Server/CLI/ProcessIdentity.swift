// Who the process is: its pid file, and the user it runs as once its ports are open.

import Engine

#if canImport(Glibc)
    import Glibc
#endif

enum ProcessIdentity {
    /// Writes this process's id on a line of its own; what was there before is replaced.
    static func writePidFile(_ path: String) throws(Failure) {
        let file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0o644)
        guard file >= 0 else { throw problem("can't write the pid file \(path)") }
        let text = Array("\(getpid())\n".utf8)
        let written = text.withUnsafeBytes { write(file, $0.baseAddress, $0.count) }
        close(file)
        if written != text.count { throw problem("can't write the pid file \(path)") }
    }

    static func removePidFile(_ path: String) { unlink(path) }

    /// Gives up root for this user, on all threads; does nothing for who is not root, as memcached does.
    static func become(user: String) throws(Failure) {
        guard geteuid() == 0 else { return }
        guard let entry = getpwnam(user) else {
            throw Failure(.scriptError, "-u \(user): there is no such user")
        }
        let (group, identity) = (entry.pointee.pw_gid, entry.pointee.pw_uid)
        guard initgroups(user, group) == 0, setgid(group) == 0, setuid(identity) == 0 else {
            throw problem("can't become \(user)")
        }
    }

    private static func problem(_ what: String) -> Failure {
        Failure(.unreachable, "\(what): \(String(cString: strerror(errno)))")
    }
}
