// The file of users given with -Y: read at the start, and again whenever the process is told to.

import Engine
import Logging

struct AuthenticationFile: Sendable {
    let credentials: Credentials
    private let path: String
    private let logger: Logger

    init(_ path: String, logger: Logger) throws(Failure) {
        credentials = try Credentials(name: path) { () throws(Failure) in try FilePath.read(path) }
        self.path = path
        self.logger = logger
    }

    /// What it said before holds where it can't be used.
    func readAgain() {
        do throws(Failure) {
            try credentials.reload()
            logger.info("\(path) was read again")
        } catch {
            logger.error("\(error.message); what it said before holds")
        }
    }
}
