// Every endpoint with each role, from this machine and from elsewhere, with passwords and without.

import Engine
import Gather
import Server
import Testing

@Suite struct RolesHTTPTests {
    /// By what the description calls them.
    private static let needs: [String: Role?] = [
        "get /v1/get": .read, "post /v1/call": .read, "get /v1/items/{key}": .read, "put /v1/items/{key}": .write,
        "delete /v1/items/{key}": .write, "get /v1/frames": .read, "get /v1/frames/{name}": .read,
        "get /v1/frames/{name}/head": .read, "post /v1/frames/{name}": .write, "delete /v1/frames/{name}": .admin,
        "get /v1/jobs": .read, "get /v1/jobs/{name}": .read, "put /v1/jobs/{name}": .script,
        "delete /v1/jobs/{name}": .script, "get /v1/jobs/{name}/run": .read, "get /v1/runs": .read,
        "post /v1/runs": .read, "get /v1/runs/{id}": .read, "delete /v1/runs/{id}": .admin,
        "get /v1/runs/{id}/events": .read, "post /v1/explain": .read, "get /v1/cluster": .read, "get /v1/stats": .read,
        "get /metrics": .read, "get /health/live": nil, "get /health/ready": nil, "get /v1/openapi.json": .read,
        "get /": .read,
    ]

    /// All that the description names, and the page's files, which it does not.
    private static func endpoints() async throws -> [(line: String, needs: Role?)] {
        let description = await HTTPNode().ask("GET /v1/openapi.json").json
        guard case .map(let paths)? = description?["paths"] else { throw Missing() }
        var found: [(line: String, needs: Role?)] = [("GET /page/main.js", .read)]
        for path in paths {
            guard case .map(let verbs) = path.value, let target = path.key.text else { continue }
            for verb in verbs {
                guard let name = verb.key.text, ["get", "put", "post", "delete"].contains(name) else { continue }
                let needs = try #require(needs["\(name) \(target)"], "\(name) \(target) is not in this test's table")
                let line = "\(name.uppercased()) \(target)".replacing("{key}", with: "x").replacing("{name}", with: "x")
                    .replacing("{id}", with: "1")
                found.append((line, needs))
            }
        }
        #expect(found.count == Self.needs.count + 1)
        return found
    }

    private struct Missing: Error {}

    private static let access = ClientAccess(rolesOfUser: { login, password in
        guard password == Array("pw".utf8) else { return nil }
        return Role(rawValue: String(decoding: login, as: UTF8.self)).map { Roles($0) }
    })

    private static func authorization(_ user: String) -> String {
        let (alphabet, bytes) = (
            Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"), Array(user.utf8)
        )
        var text = ""
        for start in stride(from: 0, to: bytes.count, by: 3) {
            let part = bytes[start..<min(start + 3, bytes.count)]
            let word = part.reduce(0) { $0 << 8 | Int($1) } << (8 * (3 - part.count))
            for at in 0..<4 { text.append(at <= part.count ? alphabet[word >> (18 - 6 * at) & 63] : "=") }
        }
        return "Authorization: Basic \(text)"
    }

    @Test("each endpoint is refused to each role that it is not for, and to no other", arguments: Role.allCases)
    func walk(role: Role) async throws {
        let node = HTTPNode(access: Self.access)
        for (line, needs) in try await Self.endpoints() {
            let reply = await node.ask(line, [Self.authorization("\(role.rawValue):pw")])
            let isAllowed = needs.map { Roles(role).includes($0) } ?? true
            #expect((reply.reason == "not_allowed") == !isAllowed, "\(role) \(line): \(reply.status)")
            #expect(isAllowed || reply.status == 403)
            let stranger = await node.ask(line)
            #expect((stranger.status == 401) == (needs != nil), "\(line)")
        }
    }

    @Test("without passwords this machine may do everything, others what is open to them")
    func beyond() async throws {
        let endpoints = try await Self.endpoints()
        let elsewhere = ClientAddress(host: "10.0.0.7")
        for (client, openRoles) in [
            (ClientAddress.local, Roles()), (ClientAddress(host: "::1"), Roles(.read)), (elsewhere, .asMemcached),
            (elsewhere, Roles(.script)), (elsewhere, Roles()), (elsewhere, .all),
        ] {
            let node = HTTPNode(access: ClientAccess(openRoles: openRoles))
            let roles = client.isLocal ? Roles.all : openRoles
            for (line, needs) in endpoints {
                let reply = await node.ask(line, from: client)
                let isAllowed = needs.map { roles.includes($0) } ?? true
                #expect((reply.reason == "not_allowed") == !isAllowed, "\(client.host) \(openRoles) \(line)")
            }
        }
    }

    @Test("what a call, a key or a job needs is its method's")
    func contents() async throws {
        let node = HTTPNode(access: Self.access)
        #expect(
            await node.ask(
                "PUT /v1/jobs/free", [Self.authorization("script:pw"), "Content-Type: application/x-lua"],
                body: "function run(p) return 1 end"
            ).status == 200)
        let cases: [(line: String, type: String, body: String, needs: [Role])] = [
            ("POST /v1/call", "json", #"{"type":"map","method":"get","object":"m","args":["k"]}"#, [.read]),
            ("POST /v1/call", "json", #"{"type":"map","method":"new","object":"m"}"#, [.write]),
            ("POST /v1/call", "json", #"{"type":"map","method":"drop","object":"m"}"#, [.write]),
            ("POST /v1/call", "json", #"{"type":"frame","method":"drop","object":"f"}"#, [.admin]),
            ("POST /v1/call", "json", #"{"type":"job","method":"drop","object":"j"}"#, [.script]),
            ("POST /v1/runs", "json", #"{"job":"free"}"#, [.write]),
            ("POST /v1/runs", "x-lua", "function run(p) return 1 end", [.script, .write]),
            ("POST /v1/runs", "json", #"{"script":"function run(p) return 1 end"}"#, [.script, .write]),
            ("POST /v1/explain", "json", #"{"job":"free"}"#, [.read]),
            ("POST /v1/explain", "x-lua", "function run(p) return 1 end", [.script]),
            ("GET /v1/get?key=map:get:m:k", "json", "", [.read]),
        ]
        for role in Role.allCases {
            for (line, type, body, needs) in cases {
                let reply = await node.ask(
                    line, [Self.authorization("\(role.rawValue):pw"), "Content-Type: application/\(type)"], body: body)
                let isAllowed = needs.allSatisfy { Roles(role).includes($0) }
                #expect(reply.body.contains("not_allowed") == !isAllowed, "\(role) \(line) \(body): \(reply.body)")
            }
        }
    }

    @Test(
        "wrong passwords are counted, each once, and slow down who sends them and nobody else")
    func late() async throws {
        var access = Self.access
        let environment = SystemEnvironment()
        // Its minute does not pass, however long all other tests take.
        let desk = LoginDesk(in: ClockedEnvironment.standingStill) { _ in }
        access.desk = desk
        let node = HTTPNode(access: access)
        let guesser = ClientAddress(host: "10.0.0.7")
        for _ in 0..<3 {
            let reply = await node.ask("GET /v1/get?key=a", [Self.authorization("read:no")], from: guesser)
            #expect(reply.status == 401)
        }
        #expect(desk.failureCount == 3 && desk.isSlow(guesser) && !desk.isSlow(.local))
        for password in ["no", "pw"] {
            let began = environment.uptimeNanoseconds
            let reply = await node.ask("GET /v1/get?key=a", [Self.authorization("read:\(password)")], from: guesser)
            #expect(reply.status == (password == "pw" ? 200 : 401))
            #expect(environment.uptimeNanoseconds - began >= 100_000_000)
        }
        // A request without a login is no attempt.
        #expect(await node.ask("GET /v1/get?key=a", from: guesser).status == 401)
        #expect(desk.failureCount == 4)
    }
}
