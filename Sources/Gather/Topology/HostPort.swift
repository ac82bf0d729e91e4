// Where a process listens, as people write it: `127.0.0.1:11211`, `[::1]:11211`.

package struct HostPort: Sendable, Hashable, CustomStringConvertible {
    /// memcached's.
    package static let portDefault = 11211

    /// A host name or address, an IPv6 address without its brackets.
    package let host: String
    package let port: Int

    package init(host: String, port: Int) {
        self.host = host
        self.port = port
    }

    /// `host:port`, `[v6]:port`, `host`, `[v6]`, `v6` or `:port`; nil when it is none of them.
    package init?(_ text: String, portDefault: Int = HostPort.portDefault) {
        let isBareIPv6 = !text.hasPrefix("[") && text.count { $0 == ":" } > 1
        guard let colon = text.lastIndex(of: ":"), !text.hasSuffix("]"), !isBareIPv6 else {
            guard !text.isEmpty, text.hasPrefix("[") == text.hasSuffix("]") else { return nil }
            self.init(host: text.hasPrefix("[") ? String(text.dropFirst().dropLast()) : text, port: portDefault)
            return
        }
        guard let port = Int(text[text.index(after: colon)...]), (1...65535).contains(port) else { return nil }
        var host = String(text[..<colon])
        if host.hasPrefix("["), host.hasSuffix("]") { host = String(host.dropFirst().dropLast()) }
        self.init(host: host.isEmpty ? "127.0.0.1" : host, port: port)
    }

    /// `host:port`, an IPv6 address in brackets.
    package var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }
}
