// Loads the scripts again when their folder changes, and tells the log what came of it.

import Engine
import Logging

struct ScriptWatcher: Sendable {
    let files: ScriptFiles
    let engine: Engine
    let logger: Logger

    /// Looks at the files' entries once a second until it is cancelled.
    func start() -> Task<Void, Never> {
        // Taken before the first wait: what changes from now on is seen.
        let first = files.fingerprint()
        return Task {
            var seen = first
            while !Task.isCancelled {
                do { try await Task.sleep(for: .seconds(1)) } catch { return }
                let now = files.fingerprint()
                guard now != seen else { continue }
                seen = now
                engine.compute.submit { reload() }
            }
        }
    }

    /// Takes the files as they are now. A folder that cannot be read changes nothing.
    func reload() {
        do throws(Failure) {
            let report = engine.reload(try files.read())
            for file in report.changed {
                logger.notice(
                    "\(file) was loaded again", metadata: ["event": "script_loaded", "file": .string(file)])
            }
            for (file, failure) in report.failures.sorted(by: { $0.key < $1.key }) {
                logger.warning(
                    "\(file) was refused, its older version stays: \(failure.message)",
                    metadata: ["event": "script_refused", "file": .string(file), "reason": .string(failure.message)])
            }
        } catch {
            logger.warning("the scripts were not loaded again: \(error.message)")
        }
    }
}
