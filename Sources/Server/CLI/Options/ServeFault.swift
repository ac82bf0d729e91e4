// What is wrong with a node's options beyond what their parser sees: files that can't be read, peers that can't be.

import Engine
import Gather

struct ServeFault {
    /// Those that it is about, as in `--peers`.
    let options: [String]
    let message: String
}

extension Serve {
    /// All of them; empty where the node can be started, unless its ports are taken. Reads the files that are named, and
    /// compiles the scripts.
    func faults() -> [ServeFault] {
        var faults: [ServeFault] = []
        func look(_ options: String..., body: () throws(Failure) -> Void) {
            do throws(Failure) { try body() } catch {
                faults.append(ServeFault(options: options, message: error.message))
            }
        }
        var topology: Topology?
        look("--peers", "--name") { () throws(Failure) in topology = try makeTopology() }
        look("--cluster-secret", "--peers", "--insecure-peers") { () throws(Failure) in
            let security = try makeSecurity()
            if let topology { try security.check(topology) }
        }
        look("--http", "--http-host", "--http-origin", "--http-body-max") { () throws(Failure) in
            _ = try http.configuration(asks: authFile != nil)
        }
        if let scripts {
            look("--scripts") { () throws(Failure) in
                _ = try ObjectTypes(adding: try ScriptFiles(directory: scripts).read())
            }
        }
        if let authFile {
            look("--auth-file") { () throws(Failure) in
                _ = try Credentials(name: authFile) { () throws(Failure) in try FilePath.read(authFile) }
            }
        }
        if let user { look("--user") { () throws(Failure) in _ = try ProcessIdentity(user: user) } }
        return faults
    }
}
