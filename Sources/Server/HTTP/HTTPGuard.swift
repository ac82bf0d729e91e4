// Who may ask: a Host that is this node's, and no foreign page that writes.

import Glibc
package import HTTPTypes

/// A page on another host can have a browser send requests to a node on loopback, under a name of its own that points there. So
/// the name is looked at, and where a page that writes comes from.
package struct HTTPGuard: Sendable {
    private let hosts: Set<String>
    private let origins: Set<String>

    /// - Parameters:
    ///   - address: what is listened on.
    ///   - names: what else this node may be called.
    ///   - origins: pages that may ask and write, as `http://127.0.0.1:8000`.
    package init(address: String, names: [String] = [], origins: [String] = []) {
        var hosts: Set<String> = ["localhost"]
        if ["0.0.0.0", "::", "*"].contains(address) {
            hosts.formUnion(Self.ownAddresses)
        } else {
            hosts.insert(address)
        }
        if address == "127.0.0.1" || address == "localhost" { hosts.insert("127.0.0.1") }
        self.hosts = Set(hosts.union(names).map { $0.lowercased() })
        self.origins = Set(origins)
    }

    /// Throws 400, 421 or 403.
    package func check(_ call: HTTPCall) throws(HTTPFailure) {
        guard let host = call.host, !host.isEmpty else {
            throw .badRequest("the request has no Host: every one needs one")
        }
        guard hosts.contains(Self.name(ofHost: host).lowercased()) else {
            throw HTTPFailure(
                .misdirectedRequest, "wrong_host",
                "this node is not called '\(host.prefix(80))': ask it by its address, or start it with --http-host NAME"
            )
        }
        guard call.method != .get, call.method != .head, call.method != .options, let origin = call.fields[.origin]
        else {
            return
        }
        guard origins.contains(origin) || origin == "http://\(host)" || origin == "https://\(host)" else {
            throw HTTPFailure(
                .forbidden, "not_allowed",
                "pages from \(origin.prefix(80)) may not write here: start the node with --http-origin \(origin.prefix(80))"
            )
        }
    }

    /// What a page from an origin that is allowed to ask has to be told.
    package func fields(for call: HTTPCall) -> HTTPFields {
        var fields = HTTPFields()
        guard let origin = call.fields[.origin], origins.contains(origin) else { return fields }
        fields[.allowOrigin] = origin
        fields[.vary] = "Origin"
        fields[.exposeHeaders] = "ETag, Location, Cacheismo-Status, X-Flags, Retry-After"
        return fields
    }

    /// The answer to a browser that asks before it asks; nil where the origin may not.
    package func preflight(_ call: HTTPCall) -> HTTPAnswer? {
        guard call.method == .options, let origin = call.fields[.origin], origins.contains(origin) else { return nil }
        var answer = HTTPAnswer(.noContent)
        answer.fields[.allowMethods] = "GET, POST, PUT, DELETE"
        answer.fields[.allowHeaders] = "Content-Type, If-Match, If-None-Match, X-Flags, Authorization"
        answer.fields[.maxAge] = "600"
        return answer
    }

    /// Without its port, and the brackets of an IPv6 address.
    static func name(ofHost host: String) -> String {
        if host.hasPrefix("["), let end = host.firstIndex(of: "]") {
            return String(host[host.index(after: host.startIndex)..<end])
        }
        guard let colon = host.lastIndex(of: ":"), host[host.index(after: colon)...].allSatisfy(\.isNumber) else {
            return host
        }
        return String(host[..<colon])
    }

    /// Of all interfaces, and the machine's name.
    private static var ownAddresses: Set<String> {
        var found: Set<String> = ["127.0.0.1", "::1"]
        var name = [CChar](repeating: 0, count: 256)
        if gethostname(&name, name.count - 1) == 0 {
            found.insert(String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self))
        }
        var list: UnsafeMutablePointer<ifaddrs>?
        guard getifaddrs(&list) == 0 else { return found }
        defer { freeifaddrs(list) }
        var next = list
        while let entry = next {
            next = entry.pointee.ifa_next
            guard let address = entry.pointee.ifa_addr else { continue }
            let family = Int32(address.pointee.sa_family)
            guard family == AF_INET || family == AF_INET6 else { continue }
            let size = family == AF_INET ? MemoryLayout<sockaddr_in>.size : MemoryLayout<sockaddr_in6>.size
            var text = [CChar](repeating: 0, count: 1_025)
            guard getnameinfo(address, socklen_t(size), &text, socklen_t(text.count), nil, 0, NI_NUMERICHOST) == 0
            else { continue }
            let whole = String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
            found.insert(String(whole.prefix { $0 != "%" }))
        }
        return found
    }
}
