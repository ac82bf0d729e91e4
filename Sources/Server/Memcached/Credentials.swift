// Who may use the cache: names and passwords from a file, and the first command of a client that gives its own.
//
// Unsafe: reads the input through a raw buffer, within its count.

package import Engine
package import Gather
import Synchronization

/// The users of memcached's -Y: lines `name:password[:role,…]`, which can be read again at any time.
package final class Credentials: Sendable {
    package typealias Source = @Sendable () throws(Failure) -> [UInt8]

    private let name: String
    private let read: Source
    private let users: Mutex<[User]>

    struct User: Sendable, Equatable {
        /// As clients send them: name, blank, password.
        let words: [UInt8]
        let roles: Roles
    }

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
    static func parse(_ bytes: [UInt8], name: String) throws(Failure) -> [User] {
        var users: [User] = []
        for (at, line) in bytes.split(separator: 0x0A, omittingEmptySubsequences: false).enumerated() {
            let line = line.last == 0x0D ? line.dropLast() : line
            guard !line.isEmpty else { continue }
            guard let colon = line.firstIndex(of: UInt8(ascii: ":")), colon > line.startIndex,
                colon + 1 < line.endIndex, line.allSatisfy({ $0 > 0x20 })
            else {
                throw Failure(
                    .wrongType,
                    "-Y \(name): line \(at + 1) is not name:password or name:password:ROLE,…, without blanks")
            }
            do throws(Failure) {
                let (password, roles) = try passwordAndRoles(line[(colon + 1)...])
                users.append(User(words: line[..<colon] + [0x20] + password, roles: roles))
            } catch {
                throw Failure(.wrongType, "-Y \(name): line \(at + 1): \(error.message)")
            }
        }
        guard !users.isEmpty else { throw Failure(.wrongType, "-Y \(name): there is no line name:password") }
        return users
    }

    /// What stands behind the last colon is a list of roles where its words are; else it is part of the password, as memcached's
    /// files have them. A list that is partly one is a mistake.
    private static func passwordAndRoles(
        _ text: ArraySlice<UInt8>
    ) throws(Failure) -> (password: ArraySlice<UInt8>, roles: Roles) {
        guard let colon = text.lastIndex(of: UInt8(ascii: ":")), colon > text.startIndex else { return (text, .all) }
        let list = String(decoding: text[(colon + 1)...], as: UTF8.self)
        guard list.split(separator: ",").contains(where: { Role(rawValue: String($0)) != nil }) else {
            return (text, .all)
        }
        return (text[..<colon], try Roles(list: list))
    }

    /// What a user may do; nil where there is none of that name and password.
    package func roles(login: [UInt8], password: [UInt8]) -> Roles? {
        login.withUnsafeBytes { login in password.withUnsafeBytes { roles(login, $0) } }
    }

    /// Takes as long whether a beginning is right or not, so that nobody learns a password byte by byte.
    func roles(_ name: UnsafeRawBufferPointer, _ password: UnsafeRawBufferPointer) -> Roles? {
        users.withLock { users in
            var found: Roles?
            for user in users where user.words.count == name.count + 1 + password.count {
                var difference: UInt8 = user.words[name.count] ^ 0x20
                for at in name.indices { difference |= user.words[at] ^ name[at] }
                for at in password.indices { difference |= user.words[name.count + 1 + at] ^ password[at] }
                if difference == 0 { found = (found ?? []).union(user.roles) }
            }
            return found
        }
    }
}

/// What a client that has to say who it is has sent.
enum Authentication {
    static let rightLine: StaticString = "STORED\r\n"
    static let wrongLine: StaticString = "CLIENT_ERROR authentication failure\r\n"

    enum Step {
        case needs(bytes: Int)
        case notAClient
        case refused(StaticString, consumed: Int, swallow: Int)
        /// `roles`: nil where name and password are wrong.
        case checked(Roles?, consumed: Int)
    }

    /// `set <anything> <anything> <anything> <bytes>`, and `name password` as its data block.
    static func step(_ bytes: UnsafeRawBufferPointer, credentials: Credentials) -> Step {
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
            return .refused(wrongLine, consumed: lineBytes, swallow: Int(blockBytes) + 2)
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
        let roles = credentials.roles(
            UnsafeRawBufferPointer(rebasing: block[tokens[0]]), UnsafeRawBufferPointer(rebasing: block[tokens[1]]))
        return .checked(roles, consumed: end + 2)
    }
}
