// How much of the data an answer must have seen: `require = all | N | P% | any`.

package enum Requirement: Sendable, Equatable, CustomStringConvertible {
    case all
    /// At least this many nodes.
    case count(Int)
    /// At least this share of the nodes, 1 to 100.
    case percent(Int)
    /// At least one: zero answers is an error whatever was asked for.
    case any

    package init?(_ text: String) {
        switch text {
        case "all": self = .all
        case "any": self = .any
        default:
            if text.hasSuffix("%") {
                guard let share = Int(text.dropLast()), (1...100).contains(share) else { return nil }
                self = .percent(share)
            } else {
                guard let count = Int(text), count >= 1 else { return nil }
                self = .count(count)
            }
        }
    }

    package var description: String {
        switch self {
        case .all: "all"
        case .count(let count): "\(count)"
        case .percent(let share): "\(share)%"
        case .any: "any"
        }
    }

    /// Whether so many nodes can meet it at all.
    package func canBeMet(by total: Int) -> Bool {
        if case .count(let count) = self { count <= total } else { true }
    }

    /// How many of `total` must answer.
    package func needed(of total: Int) -> Int {
        switch self {
        case .all: total
        case .count(let count): min(max(count, 1), total)
        case .percent(let share): max(1, (total * share + 99) / 100)
        case .any: 1
        }
    }
}
