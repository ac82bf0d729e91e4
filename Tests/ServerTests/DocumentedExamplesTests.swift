// The examples of the documentation, typed in: each file of Lua with a name, and what its calls are said to answer.

import Engine
import Foundation
import Gather
import Server
import Testing

/// A document marks a file by `<!-- type: NAME.lua -->` above a block of Lua, and calls by `<!-- answers: NAME.lua … -->`
/// above a block of lines `KEY  ->  ANSWER`, or `KEY <- DATA  ->  ANSWER` for a set; the names are of the files that are
/// loaded, none for the built-in types. `\r\n` stands for an end of line in an answer, `…` for anything. `<!-- reload: A.lua then
/// B2.lua -->` has calls before and behind a line that begins with `…`, where the files behind `then` take the places of those before,
/// by their names without a number. `test: NAME_test.lua` is a test of the types before it. `rows: FRAME` are rows, `job: NAME.lua`
/// a job over them, `http: POST PATH` has bodies of JSON and their answers, and `run: NAME.lua NAME=VALUE …` what is in its envelope.
@Suite struct DocumentedExamplesTests {
    private static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().appendingPathComponent("docs")

    struct Call: Sendable {
        let key: String
        let data: String?
        let answer: String
    }

    struct Document: Sendable, CustomTestStringConvertible {
        let name: String
        var types: [String: String] = [:]
        var calls: [(files: [String], calls: [Call])] = []
        var reloads: [(before: [String], after: [String], calls: [[Call]])] = []
        /// With the types that stand before them.
        var tests: [(script: ObjectScript, types: [ObjectScript])] = []
        var posts: [(line: String, body: String, answer: String)] = []
        var rows: [(frame: String, rows: String)] = []
        var jobs: [String: String] = [:]
        var runs: [(job: String, parameters: [String], parts: Value)] = []
        var testDescription: String { name }

        init(_ file: URL) throws {
            name = file.lastPathComponent
            let text = try String(contentsOf: file, encoding: .utf8)
            for block in text.matches(
                of: #/<!-- (type|answers|reload|test|rows|job|run|http):([^>]*?)-->\n```[a-z]*\n(.*?)\n```/#
                    .dotMatchesNewlines())
            {
                try add(
                    String(block.1), block.2.split(separator: " ").map(String.init), String(block.3) + "\n")
            }
        }

        private mutating func add(_ kind: String, _ names: [String], _ text: String) throws {
            guard let name = names.first else { return calls.append(([], try Self.calls(text))) }
            switch kind {
            case "type": types[name] = text
            case "answers": calls.append((names, try Self.calls(text)))
            case "reload":
                let sides = names.split(separator: "then").map(Array.init)
                let parts = text.split(separator: #/…[^\n]*\n/#)
                reloads.append((sides[0], sides[1], try parts.map { try Self.calls(String($0)) }))
            case "test":
                tests.append((ObjectScript(file: name, source: Array(text.utf8)), scripts(types.keys.sorted())))
            case "http":
                for line in text.split(separator: "\n") {
                    let sides = line.components(separatedBy: "  ->  ")
                    posts.append((names.joined(separator: " "), sides[0], sides[sides.count - 1]))
                }
            case "rows": rows.append((name, text))
            case "job": jobs[name] = text
            default:
                let parts = try Value(parsingJSON: Array(text.utf8))
                runs.append((name, Array(names.dropFirst()), parts))
            }
        }

        /// By the names that files have without a number.
        func scripts(_ names: [String]) -> [ObjectScript] {
            names.map { name in
                ObjectScript(
                    file: name.replacing(#/[0-9]+\.lua$/#, with: ".lua"), source: Array((types[name] ?? "").utf8))
            }
        }

        private static func calls(_ text: String) throws -> [Call] {
            try text.split(separator: "\n").map { try call(String($0)) }
        }

        private static func call(_ line: String) throws -> Call {
            let sides = line.components(separatedBy: "  ->  ")
            guard sides.count == 2 else { throw Failure(.scriptError, "no KEY  ->  ANSWER: \(line)") }
            let asked = sides[0].components(separatedBy: " <- ")
            return Call(
                key: asked[0].trimmingCharacters(in: .whitespaces), data: asked.count > 1 ? asked[1] : nil,
                answer: sides[1].replacing("\\r\\n", with: "\r\n"))
        }
    }

    private static let documents: [Document] =
        ((try? FileManager.default.contentsOfDirectory(at: folder, includingPropertiesForKeys: nil)) ?? [])
        .filter { $0.pathExtension == "md" }.compactMap { try? Document($0) }.filter { !$0.calls.isEmpty }

    @Test("the documents have examples, and every file of them is called")
    func examples() {
        let names = Set(Self.documents.map(\.name))
        #expect(names.isSuperset(of: ["objects.md", "lua-api.md", "tutorial.md"]))
        let tutorial = Self.documents.first { $0.name == "tutorial.md" }
        #expect(tutorial?.tests.count == 1 && tutorial?.reloads.count == 1)
        #expect(tutorial?.runs.count == 2 && tutorial?.posts.count == 2)
        for document in Self.documents {
            let called = Set(document.calls.flatMap(\.files) + document.reloads.flatMap { $0.before + $0.after })
            #expect(called == Set(document.types.keys), "\(document.name)")
        }
    }

    @Test("every call of an example answers what the document says", arguments: documents)
    func answers(_ document: Document) throws {
        for (files, calls) in document.calls {
            try Self.withServer(try Self.makeEngine(document.scripts(files))) { Self.check(calls, of: document, $0) }
        }
    }

    private static func makeEngine(_ scripts: [ObjectScript]) throws -> Engine {
        var configuration = EngineConfiguration(shards: 2, memoryBytes: 16 << 20)
        configuration.scripts = scripts
        configuration.objectTypes = try ObjectTypes(adding: scripts)
        return Engine(configuration)
    }

    private static func check(_ calls: [Call], of document: Document, _ client: LoopbackClient) {
        for call in calls {
            let answer = ask(client, call)
            let isAsSaid =
                call.answer == answer || call.answer.hasSuffix("…") && answer.hasPrefix(call.answer.dropLast())
                || isAsSaidBefore(call, answer)
            #expect(isAsSaid, "\(document.name): \(call.key) answers \(answer.debugDescription)")
        }
    }

    @Test("what is said of a new version of a type is so", arguments: documents)
    func reloads(_ document: Document) throws {
        for reload in document.reloads {
            let engine = try Self.makeEngine(document.scripts(reload.before))
            try Self.withServer(engine) { client in
                Self.check(reload.calls[0], of: document, client)
                #expect(engine.reload(document.scripts(reload.after)).failures.isEmpty)
                Self.check(reload.calls[1], of: document, client)
            }
        }
    }

    @Test("the tests that are shown pass", arguments: documents)
    func tests(_ document: Document) throws {
        for (script, types) in document.tests {
            let results = try TypeTests(script, of: try ObjectTypes(adding: types)).run()
            #expect(!results.isEmpty)
            for result in results { #expect(result.failure == nil, "\(script.file): \(result)") }
        }
    }

    @Test("what is asked over HTTP is answered as is said", arguments: documents)
    func posts(_ document: Document) async {
        let node = HTTPNode()
        for post in document.posts {
            let type = ["Content-Type: application/json"]
            var reply = await node.ask(post.line, type, body: post.body)
            // A method has a second, which is little where all tests run at once.
            for _ in 0..<600 where reply.status == 504 { reply = await node.ask(post.line, type, body: post.body) }
            #expect(reply.body == post.answer, "\(post.body)")
        }
    }

    @Test("jobs answer what is said", arguments: documents)
    func jobs(_ document: Document) async throws {
        guard !document.runs.isEmpty else { return }
        let node = HTTPNode()
        for (frame, rows) in document.rows {
            let reply = await node.ask("POST /v1/frames/\(frame)", ["Content-Type: application/x-ndjson"], body: rows)
            #expect(reply.status == 200, "\(reply.body)")
        }
        for (job, parameters, parts) in document.runs {
            let source = try #require(document.jobs[job])
            let pairs = parameters.map { $0.split(separator: "=", maxSplits: 1).map(String.init) }
            let body = Value.object([
                "script": .string(source), "timeout": .int(600_000),
                "params": .map(pairs.map { Value.Pair(.string($0[0]), .string($0[1])) }),
            ])
            let reply = await node.ask(
                "POST /v1/runs?wait=600s", ["Content-Type: application/json"],
                body: String(decoding: body.json, as: UTF8.self))
            guard case .map(let wanted) = parts else { return #expect(Bool(false)) }
            for part in wanted {
                #expect(reply.json?[part.key.text ?? ""]?.json == part.value.json, "\(job): \(reply.body)")
            }
        }
    }

    /// Seconds may have gone since the call before.
    private static func isAsSaidBefore(_ call: Call, _ answer: String) -> Bool {
        guard let said = Int(call.answer), said >= 0, let seconds = Int(answer) else { return false }
        switch call.key.split(separator: ":").dropFirst().first {
        case "age": return said...said + 120 ~= seconds
        case "ttl": return max(0, said - 120)...said ~= seconds
        default: return false
        }
    }

    private static func withServer(_ engine: Engine, _ body: (LoopbackClient) throws -> Void) throws {
        var configuration = MemcachedListenerConfiguration()
        configuration.port = 0
        let loop = ServingLoop(index: 0)
        let listener = MemcachedListener(configuration, router: Router(engine: engine), loops: [loop])
        try listener.start()
        defer {
            listener.stop()
            loop.shutdown()
        }
        try body(LoopbackClient(port: listener.ports[0]))
    }

    /// The value of a get, the line that a set or a failure is answered by, or `END` for a miss.
    private static func ask(_ client: LoopbackClient, _ call: Call) -> String {
        if let data = call.data {
            client.send("set \(call.key) 0 0 \(data.utf8.count)\r\n\(data)\r\n")
            return line(client)
        }
        client.send("get \(call.key)\r\n")
        let first = line(client)
        let words = first.split(separator: " ")
        guard words.first == "VALUE", let bytes = words.last.flatMap({ Int($0) }) else { return first }
        let value = client.receive(bytes)
        _ = client.receive("\r\nEND\r\n".utf8.count)
        return value
    }

    private static func line(_ client: LoopbackClient) -> String {
        var line = ""
        while !line.hasSuffix("\r\n") {
            let next = client.receive(1)
            if next.isEmpty { return line }
            line += next
        }
        return String(line.dropLast(1))
    }
}
