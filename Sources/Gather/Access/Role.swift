// The five roles of a client, what includes what, and lists of them as people write them.

package import Engine

package enum Role: String, Sendable, CaseIterable {
    /// Looking, at data and at the cluster.
    case read
    /// Changing items, objects and rows; reading too.
    case write
    /// `flush_all`, and nothing else.
    case flush
    /// Bringing Lua; reading too.
    case script
    /// Everything.
    case admin
}

/// What somebody may do. Empty: nothing, as long as they have not said who they are.
package struct Roles: OptionSet, Sendable, Hashable {
    package let rawValue: UInt8

    package init(rawValue: UInt8) { self.rawValue = rawValue }

    /// A role with all that it includes.
    package init(_ role: Role) {
        switch role {
        case .read: self = Self.bit(.read)
        case .write: self = [Self.bit(.write), Self.bit(.read)]
        case .flush: self = Self.bit(.flush)
        case .script: self = [Self.bit(.script), Self.bit(.read)]
        case .admin: self = .all
        }
    }

    package static let all = Role.allCases.reduce(into: Roles()) { $0.insert(bit($1)) }
    /// What memcached lets everybody do who reaches it.
    package static let asMemcached: Roles = [Roles(.write), Roles(.flush)]

    private static func bit(_ role: Role) -> Roles {
        switch role {
        case .read: Roles(rawValue: 1)
        case .write: Roles(rawValue: 2)
        case .flush: Roles(rawValue: 4)
        case .script: Roles(rawValue: 8)
        case .admin: Roles(rawValue: 16)
        }
    }

    package func includes(_ role: Role) -> Bool { contains(Self.bit(role)) }

    /// `read,flush`, without blanks. Throws one line about a word that is no role, or where there is none.
    package init(list: String) throws(Failure) {
        self = []
        for word in list.split(separator: ",", omittingEmptySubsequences: false) {
            guard let role = Role(rawValue: String(word)) else {
                throw Failure(
                    .wrongType,
                    "'\(word.prefix(40))' is no role; there are \(Self.all.description), written with commas")
            }
            formUnion(Roles(role))
        }
    }
}

extension Roles: CustomStringConvertible {
    /// All of them, in their order: `read, write`.
    package var description: String {
        isEmpty ? "none" : Role.allCases.filter { includes($0) }.map(\.rawValue).joined(separator: ", ")
    }
}
