// A job as it is asked for: the script, its parameters, how complete the answer must be, how long it may take.

package import Coordination
package import Engine

/// How long a job is shown.
package enum JobListing: Sendable {
    /// While it runs, and as one of the last few that are over.
    case brief
    /// For ten minutes behind its end, with its answer: see `RunLog`.
    case kept
    /// Not at all: it is asked again and again.
    case none
}

package struct JobRequest: Sendable {
    package static let timeoutMillisecondsDefault = 30_000
    package static let timeoutMillisecondsMax = 600_000

    package var name: String
    package var source: [UInt8]
    /// As given: text, or typed values.
    package var parameters: [String: Value]
    package var requirement: Requirement
    package var timeoutMilliseconds: Int
    /// What it is to be known by while it runs; nil for a number of the coordinator's.
    package var query: UInt64?
    /// How it is shown among the jobs of its node.
    package var listing = JobListing.brief
    /// Of whoever asks; not part of the request's form on the wire.
    package var roles = Roles.all

    package init(
        name: String, source: [UInt8], parameters: [String: Value] = [:], requirement: Requirement = .all,
        timeoutMilliseconds: Int = JobRequest.timeoutMillisecondsDefault
    ) {
        self.name = name
        self.source = source
        self.parameters = parameters
        self.requirement = requirement
        self.timeoutMilliseconds = timeoutMilliseconds
    }

    /// Takes `key=value` words, each key once; `require` and `timeout` (milliseconds) are the request's own, the rest are the
    /// script's.
    package mutating func take(assignments: [String]) throws(Failure) {
        var names: Set<String> = []
        for assignment in assignments {
            guard let equals = assignment.firstIndex(of: "="), equals != assignment.startIndex else {
                throw Failure(.scriptError, "'\(assignment)' is no parameter: write name=value")
            }
            let name = String(assignment[..<equals])
            let text = String(assignment[assignment.index(after: equals)...])
            guard names.insert(name).inserted else {
                throw Failure(.scriptError, "'\(name)' is given twice: write \(name)=\(text), or the other, alone")
            }
            switch name {
            case "require":
                guard let requirement = Requirement(text) else {
                    throw Failure(
                        .scriptError, "require=\(text) is not understood: write all, any, a number of nodes, or 80%")
                }
                self.requirement = requirement
            case "timeout":
                guard let milliseconds = Int(text), (1...Self.timeoutMillisecondsMax).contains(milliseconds) else {
                    throw Failure(
                        .scriptError,
                        "timeout=\(text) is not understood: write milliseconds, up to \(Self.timeoutMillisecondsMax)")
                }
                timeoutMilliseconds = milliseconds
            default: parameters[name] = .string(text)
            }
        }
    }

    package var value: Value {
        .object([
            "name": .string(name), "source": .bytes(source),
            "params": .map(parameters.sorted { $0.key < $1.key }.map { Value.Pair(.string($0.key), $0.value) }),
            "require": .string(requirement.description), "timeout": .int(Int64(timeoutMilliseconds)),
            "query": query.map { .int(Int64(bitPattern: $0)) } ?? .null,
        ])
    }

    package init?(value: Value) {
        guard let name = value["name"]?.text, case .bytes(let source)? = value["source"],
            case .map(let pairs)? = value["params"], let requirement = value["require"]?.text.flatMap(Requirement.init),
            case .int(let timeout)? = value["timeout"]
        else { return nil }
        self.init(name: name, source: source, requirement: requirement)
        if case .int(let query)? = value["query"] { self.query = UInt64(bitPattern: query) }
        for pair in pairs { if let key = pair.key.text { parameters[key] = pair.value } }
        timeoutMilliseconds = min(max(1, Int(clamping: timeout)), Self.timeoutMillisecondsMax)
    }
}

/// The parameters a script declares (`job.params`), and how given ones take their places.
package enum JobParameters {
    /// Defaults with the given values over them, each of its default's type. An unknown name or a value that does not
    /// fit is refused, naming it.
    package static func resolve(given: [String: Value], defaults: [Value.Pair], job: String) throws(Failure) -> Value {
        var resolved = defaults
        for (name, value) in given.sorted(by: { $0.key < $1.key }) {
            guard let index = resolved.firstIndex(where: { $0.key.text == name }) else {
                let known = defaults.compactMap(\.key.text)
                throw Failure(
                    .scriptError,
                    "job \(job) has no parameter '\(name)'; "
                        + (known.isEmpty ? "it has none" : "it has \(known.joined(separator: ", "))"))
            }
            resolved[index] = Value.Pair(
                resolved[index].key, try convert(value, like: resolved[index].value, name: name, job: job))
        }
        return .map(resolved)
    }

    private static func convert(
        _ value: Value, like sample: Value, name: String, job: String
    ) throws(Failure) -> Value {
        guard let text = value.text else { return value }
        switch sample {
        case .int, .double:
            if let number = Int64(text) { return .int(number) }
            if let number = Double(text) { return .double(number) }
            throw Failure(.scriptError, "parameter '\(name)' of job \(job) is a number: '\(text)' is none")
        case .bool:
            guard let flag = Bool(text) else {
                throw Failure(.scriptError, "parameter '\(name)' of job \(job) is true or false: '\(text)' is neither")
            }
            return .bool(flag)
        default: return value
        }
    }
}
