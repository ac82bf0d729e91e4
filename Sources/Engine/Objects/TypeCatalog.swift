// The object types that a node knows now: read without a lock, replaced whole when scripts are loaded again.
//
// Unsafe: readers hold a version by a plain pointer; no version is ever freed, see `versions`.

import Synchronization

/// What came of loading the scripts again.
package struct ScriptReport: Sendable {
    /// Files that are now in use in another version than before, or no longer.
    package var changed: [String] = []
    /// What is wrong with the files that were refused: their older version stays where there was one.
    package var failures: [String: Failure] = [:]
}

/// What is known of one script file, as `stats scripts` shows it.
package struct ScriptStatus: Sendable, Equatable {
    package let file: String
    /// The hash of the version in use; nil where none is.
    package let version: UInt64?
    /// The types that it defines.
    package let types: [String]
    package let failure: Failure?
}

package final class TypeCatalog: Sendable {
    private struct State {
        /// All there ever were, so that a reader's version stays: a few kilobytes each, one for each change of a file.
        var versions: [ObjectTypes]
        /// The scripts in use, by file.
        var scripts: [String: ObjectScript] = [:]
        var failures: [String: Failure] = [:]
        var reloads = 0
    }

    private let state: Mutex<State>
    /// Of the newest version, as a number: atomics of pointers are not known to be shareable.
    private let address: Atomic<UInt>

    package init(_ types: ObjectTypes, scripts: [ObjectScript] = []) {
        address = Atomic(Self.address(of: types))
        state = Mutex(
            State(versions: [types], scripts: Dictionary(scripts.map { ($0.file, $0) }, uniquingKeysWith: { $1 })))
    }

    package var current: ObjectTypes { newest.takeUnretainedValue() }

    /// Where the method that a key names is in the newest version, and where its object's name begins.
    @inline(__always)
    func find(_ key: UnsafeRawBufferPointer) -> (version: UInt64, method: Int, nameStart: Int)? {
        newest._withUnsafeGuaranteedRef { types in
            guard case .method(let method, let nameStart) = types.table.find(key) else { return nil }
            return (types.version, method, nameStart)
        }
    }

    private var newest: Unmanaged<ObjectTypes> {
        guard let pointer = UnsafeRawPointer(bitPattern: address.load(ordering: .acquiring)) else {
            preconditionFailure("a catalog has a version from the start")
        }
        return Unmanaged<ObjectTypes>.fromOpaque(pointer)
    }

    private static func address(of types: ObjectTypes) -> UInt {
        UInt(bitPattern: Unmanaged.passUnretained(types).toOpaque())
    }

    /// Takes the scripts in place of those in use. A file that is wrong is refused whole: its older version stays.
    /// `install` is called with what to use from now on, if that is something new, before it can be seen.
    package func reload(_ scripts: [ObjectScript], install: (ObjectTypes) -> Void) -> ScriptReport {
        state.withLock { state in
            state.reloads += 1
            var report = ScriptReport()
            var wanted = scripts
            var assessed = ScriptAssessment(wanted)
            // Each round takes one wrong file back at least.
            while !assessed.failures.isEmpty {
                let refused = Self.refused(assessed, wanted, state.scripts)
                report.failures.merge(refused) { first, _ in first }
                wanted = wanted.compactMap { script in
                    guard refused[script.file] != nil else { return script }
                    guard let older = state.scripts[script.file], older != script else { return nil }
                    return older
                }
                assessed = ScriptAssessment(wanted)
            }
            state.failures = report.failures
            let used = Dictionary(wanted.map { ($0.file, $0) }, uniquingKeysWith: { $1 })
            var changed = Set(used.keys).union(state.scripts.keys).filter { used[$0] != state.scripts[$0] }
            guard !changed.isEmpty else { return report }
            let types = ObjectTypes(assessed)
            // Whoever requires what has changed is loaded again with it.
            let before = current.types
            changed.formUnion(types.types.values.filter { before[$0.name]?.hash != $0.hash }.map(\.file))
            report.changed = changed.intersection(Set(used.keys).union(state.scripts.keys)).sorted()
            state.scripts = used
            state.versions.append(types)
            install(types)
            address.store(Self.address(of: types), ordering: .releasing)
            return report
        }
    }

    /// The files that are taken back, and why: those that are wrong. Where one is that has not changed itself, it is for what has
    /// changed of the files that it requires, or of those that require it.
    private static func refused(
        _ assessed: ScriptAssessment, _ wanted: [ObjectScript], _ older: [String: ObjectScript]
    ) -> [String: Failure] {
        let changed = Set(wanted.filter { older[$0.file] != $0 }.map(\.file))
        var refused: [String: Failure] = [:]
        for (file, failure) in assessed.failures {
            let users = changed.filter { assessed.required[$0]?.contains(file) == true }
            let causes = changed.intersection(assessed.required[file] ?? []).union(users)
            guard !changed.contains(file), !causes.isEmpty else {
                refused[file] = failure
                continue
            }
            for cause in causes {
                let how = users.contains(cause) ? "which it requires, fails in it" : "which requires it, fails with it"
                refused[cause] = failure.saying("\(cause): \(file), \(how): \(failure.message)", about: .named(cause))
            }
        }
        return refused
    }

    /// One for each file that is in use or was refused, by name.
    package var statuses: [ScriptStatus] {
        let types = current
        return state.withLock { state in
            Set(state.scripts.keys).union(state.failures.keys).sorted().map { file in
                var defined = types.types.values.filter { $0.file == file }.map(\.name)
                if let methods = types.handlers?.methods, let stem = HandlerScripts.stem(of: file),
                    methods[stem] != nil
                {
                    defined.append(stem)
                }
                let type = types.types.values.first { $0.file == file }
                return ScriptStatus(
                    file: file, version: state.scripts[file].map { type?.hash ?? $0.hash }, types: defined.sorted(),
                    failure: state.failures[file])
            }
        }
    }

    package var reloads: Int { state.withLock { $0.reloads } }
}
