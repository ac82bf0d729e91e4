// The file of users given with -Y: read at the start, and again whenever the process is told to hang up.

import Dispatch
import Engine
import Logging

#if canImport(Glibc)
    import Glibc
#endif

struct AuthenticationFile {
    let credentials: Credentials
    private let source: any DispatchSourceSignal

    init(_ path: String, logger: Logger) throws(Failure) {
        let credentials = try Credentials(name: path) { () throws(Failure) in try FilePath.read(path) }
        self.credentials = credentials
        // Or the signal would end the process.
        signal(SIGHUP, SIG_IGN)
        source = DispatchSource.makeSignalSource(signal: SIGHUP, queue: .global())
        source.setEventHandler {
            do throws(Failure) {
                try credentials.reload()
                logger.info("\(path) was read again")
            } catch {
                logger.error("\(error.message); what it said before holds")
            }
        }
        source.resume()
    }

    func close() { source.cancel() }
}
