// `--http` and its kin: where a node answers HTTP, under which names, and to which pages.

import ArgumentParser
import Engine
import Gather

struct HTTPOptions: ParsableArguments {
    @Option(
        name: .customLong("http"),
        help: ArgumentHelp("Answer HTTP here, with a page for people at /. (default: nowhere)", valueName: "host:port"))
    var address: String?

    @Option(
        name: .customLong("http-host"), parsing: .singleValue,
        help: ArgumentHelp("Another name that requests may call this node by; repeatable.", valueName: "name"))
    var names: [String] = []

    @Option(
        name: .customLong("http-origin"), parsing: .singleValue,
        help: ArgumentHelp("Let pages from there ask, as in http://127.0.0.1:8000; repeatable.", valueName: "url"))
    var origins: [String] = []

    @Option(name: .customLong("http-body-max"), help: "Largest body of rows over HTTP, as in 64m. (default: 64m)")
    var bodyMax: ByteCount?

    @Flag(
        name: .customLong("insecure-http"),
        help: "Answer HTTP beyond this machine without -Y: whoever reaches the port has the roles of --open-roles.")
    var isInsecure = false

    /// Nil where HTTP is not wanted. `asks`: whether clients have to say who they are.
    func configuration(asks: Bool) throws(Failure) -> HTTPConfiguration? {
        guard let text = address else {
            guard names.isEmpty, origins.isEmpty, bodyMax == nil else {
                throw Failure(.scriptError, "--http-host, --http-origin and --http-body-max want --http HOST:PORT too")
            }
            return nil
        }
        guard let address = HostPort(text, portDefault: 0), address.port != 0 else {
            throw Failure(.scriptError, "--http \(text): write HOST:PORT, as in 127.0.0.1:8211")
        }
        guard asks || isInsecure || Self.isLoopback(address.host) else {
            throw Failure(
                .scriptError,
                "--http \(text) is reached from other machines: give -Y FILE with names and passwords, or --insecure-http"
            )
        }
        for origin in origins where origin.hasSuffix("/") || !origin.contains("://") {
            throw Failure(
                .scriptError,
                "--http-origin \(origin): write it as browsers do, http://HOST:PORT without a slash behind")
        }
        return HTTPConfiguration(
            address: address, names: names, origins: origins, rowsBytesMax: bodyMax?.bytes ?? 64 << 20)
    }

    private static func isLoopback(_ host: String) -> Bool {
        host == "localhost" || host == "::1" || host.hasPrefix("127.")
    }
}
