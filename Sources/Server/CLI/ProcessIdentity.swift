// The user that the process runs as once its ports are open.

import Engine
import Glibc

/// Somebody to become, looked up before anything is opened.
struct ProcessIdentity {
    let name: String
    let user: uid_t
    let group: gid_t

    /// Nil for who is not root: there is nothing to give up, as in memcached.
    init?(user name: String) throws(Failure) {
        guard geteuid() == 0 else { return nil }
        guard let entry = getpwnam(name) else {
            throw Failure(.scriptError, "-u \(name): there is no such user")
        }
        self.name = name
        (user, group) = (entry.pointee.pw_uid, entry.pointee.pw_gid)
    }

    /// Gives up root for it, on all threads.
    func assume() throws(Failure) {
        guard initgroups(name, group) == 0, setgid(group) == 0, setuid(user) == 0 else {
            throw Failure(.unreachable, "can't become \(name): \(String(cString: strerror(errno)))")
        }
    }
}
