// Which of some scripts are right, what each of them is, and what is wrong with the others.

/// Every script is run once in a state of its own; a script that is wrong spoils no other.
struct ScriptAssessment {
    private(set) var types: [String: ObjectType] = [:]
    private(set) var handlers: HandlerScripts?
    /// By file.
    private(set) var failures: [String: Failure] = [:]
    /// The files that a file has asked for, as far as it came.
    private(set) var required: [String: Set<String>] = [:]

    /// A script is a type's if it declares one with `object`; shared code if such a one requires it; else one of handlers if those
    /// who run such say so. Of two files that declare the same type the first counts. What a shared file fails with is its own.
    init(_ scripts: [ObjectScript]) {
        var others: [(script: ObjectScript, failure: Failure)] = []
        let sources = Dictionary(
            scripts.compactMap { script in script.sharedName.map { ($0, script.source) } }, uniquingKeysWith: { $1 })
        var blamed: [(culprit: String, by: ObjectScript, failure: Failure)] = []
        for script in scripts {
            let state = LuaState()
            let shared = SharedCode(state)
            let offered = ObjectScript(file: script.file, source: script.source, required: sources)
            do throws(Failure) {
                add(try ObjectType(describing: offered, in: state, shared))
            } catch {
                if let culprit = shared.culprit {
                    blamed.append((culprit, script, error))
                } else {
                    others.append((script, error))
                }
            }
            required[script.file] = Set(shared.used.keys.map { "\($0).lua" })
        }
        let typeFiles = Set(types.values.map(\.file))
        for (culprit, requirer, failure) in blamed {
            guard typeFiles.contains(culprit) else {
                failures[culprit] = failure
                continue
            }
            failures[requirer.file] = requirer.failure(
                "requires \(culprit), which declares a type; what types share goes into a file of its own")
        }
        let isShared = required.values.reduce(into: Set()) { $0.formUnion($1) }
        others.removeAll { isShared.contains($0.script.file) }
        guard !others.isEmpty else { return }
        let assessed = HandlerScripts.assess(others.map(\.script))
        handlers = assessed.scripts
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
