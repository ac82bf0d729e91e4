// Who may use the cache: names and passwords from a file, and the first command of a client that gives its own.
//
// Unsafe: reads the input through a raw buffer, within its count.

package import Engine
import Synchronization

/// The users of memcached's -Y: lines `name:password`, which can be read again at any time.
package final class Credentials: Sendable {
    package typealias Source = @Sendable () throws(Failure) -> [UInt8]

    private let name: String
    private let read: Source
    /// As clients send them: name, blank, password.
    private let users: Mutex<[[UInt8]]>

    /// `name` of what is read, for errors: they are one line for people.
    package init(name: String, read: @escaping Source) throws(Failure) {
        self.name = name
        self.read = read
        users = Mutex(try Self.parse(try read(), name: name))
    }

    /// Takes what is there now; who is connected stays. When it can't be used, what was read before holds.
    package func reload() throws(Failure) {
        let fresh = try Self.parse(try read(), name: name)
        users.withLock { $0 = fresh }
    }

    /// Blank lines are passed over.
    static func parse(_ bytes: [UInt8], name: String) throws(Failure) -> [[UInt8]] {
        var users: [[UInt8]] = []
        for (at, line) in bytes.split(separator: 0x0A, omittingEmptySubsequences: false).enumerated() {
            let line = line.last == 0x0D ? line.dropLast() : line
            guard !line.isEmpty else { continue }
            guard let colon = line.firstIndex(of: UInt8(ascii: ":")), colon > line.startIndex,
                colon + 1 < line.endIndex, line.allSatisfy({ $0 > 0x20 })
            else {
                throw Failure(.wrongType, "-Y \(name): line \(at + 1) is not name:password, without blanks")
            }
            users.append(line[..<colon] + [0x20] + line[(colon + 1)...])
        }
        guard !users.isEmpty else { throw Failure(.wrongType, "-Y \(name): there is no line name:password") }
        return users
    }

    /// As a command says who it is.
    package func contains(login: [UInt8], password: [UInt8]) -> Bool {
        login.withUnsafeBytes { login in password.withUnsafeBytes { contains(login, $0) } }
    }

    /// Takes as long whether a beginning is right or not, so that nobody learns a password byte by byte.
    func contains(_ name: UnsafeRawBufferPointer, _ password: UnsafeRawBufferPointer) -> Bool {
        users.withLock { users in
            var isFound = false
            for user in users where user.count == name.count + 1 + password.count {
                var difference: UInt8 = user[name.count] ^ 0x20
                for at in name.indices { difference |= user[at] ^ name[at] }
                for at in password.indices { difference |= user[name.count + 1 + at] ^ password[at] }
                isFound = isFound || difference == 0
            }
            return isFound
        }
    }
}

/// What a client that has to say who it is has sent.
enum Authentication {
    enum Step {
        case needs(bytes: Int)
        case notAClient
        case refused(StaticString, consumed: Int, swallow: Int)
        case checked(isRight: Bool, consumed: Int)
    }

    /// `set <anything> <anything> <anything> <bytes>`, and `name password` as its data block.
    static func step(_ bytes: UnsafeRawBufferPointer, credentials: Credentials?) -> Step {
        guard let newline = bytes.prefix(RequestParser.lineBytesMax).firstIndex(of: 0x0A) else {
            return bytes.count < RequestParser.lineBytesMax ? .needs(bytes: 0) : .notAClient
        }
        let lineBytes = newline + 1
        let hasReturn = newline > 0 && bytes[newline - 1] == 0x0D
        let line = UnsafeRawBufferPointer(rebasing: bytes[..<(hasReturn ? newline - 1 : newline)])
        let words = Words(line)
        guard words.count >= 5, isWord(UnsafeRawBufferPointer(rebasing: line[words[0]]), "set"),
            let blockBytes = unsignedNumber(line, words[4]), blockBytes <= RequestParser.valueBytesMax
        else { return .refused("CLIENT_ERROR unauthenticated\r\n", consumed: lineBytes, swallow: 0) }
        guard blockBytes <= UInt64(RequestParser.lineBytesMax) else {
            let failure: StaticString = "CLIENT_ERROR authentication failure\r\n"
            return .refused(failure, consumed: lineBytes, swallow: Int(blockBytes) + 2)
        }
        let end = lineBytes + Int(blockBytes)
        guard bytes.count >= end + 2 else { return .needs(bytes: end + 2) }
        guard bytes[end] == 0x0D, bytes[end + 1] == 0x0A else {
            return .refused("CLIENT_ERROR bad command line termination\r\n", consumed: end + 2, swallow: 0)
        }
        let block = UnsafeRawBufferPointer(rebasing: bytes[lineBytes..<end])
        let tokens = Words(block)
        guard tokens.count >= 2 else {
            return .refused("CLIENT_ERROR bad authentication token format\r\n", consumed: end + 2, swallow: 0)
        }
        let isRight =
            credentials?.contains(
                UnsafeRawBufferPointer(rebasing: block[tokens[0]]), UnsafeRawBufferPointer(rebasing: block[tokens[1]]))
            ?? true
        return .checked(isRight: isRight, consumed: end + 2)
    }
}
