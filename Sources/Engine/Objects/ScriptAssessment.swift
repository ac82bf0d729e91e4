// Which of some scripts are right, what each of them is, and what is wrong with the others.

/// Every script is run once in a state of its own; a script that is wrong spoils no other.
struct ScriptAssessment {
    private(set) var types: [String: ObjectType] = [:]
    private(set) var lowLevel: LowLevelScripts?
    /// By file.
    private(set) var failures: [String: Failure] = [:]

    /// A script is a type's if it declares one with `object`; else one for the low-level interface if it defines a table
    /// of handlers named like its file. Of two files that declare the same type the first counts.
    init(_ scripts: [ObjectScript]) {
        var others: [(script: ObjectScript, failure: Failure)] = []
        for script in scripts {
            do throws(Failure) {
                add(try ObjectType(describing: script))
            } catch {
                others.append((script, error))
            }
        }
        guard !others.isEmpty else { return }
        let assessed = LowLevelScripts.assess(others.map(\.script))
        lowLevel = assessed.scripts
        for other in others where !assessed.accepted.contains(other.script.file) {
            failures[other.script.file] = other.failure
        }
    }

    private mutating func add(_ type: ObjectType) {
        guard let other = types[type.name] else {
            types[type.name] = type
            return
        }
        failures[type.file] = Failure(
            .scriptError, "\(other.file) and \(type.file) both declare '\(type.name)'; remove one")
    }
}
