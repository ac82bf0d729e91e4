// The examples of the documentation, typed in: each file of Lua with a name, and what its calls are said to answer.

import Engine
import Foundation
import Gather
import Server
import Testing

/// A document marks a file by `<!-- type: NAME.lua -->` above a block of Lua, and calls by `<!-- answers: NAME.lua … -->`
/// above a block of lines `KEY  ->  ANSWER`, or `KEY <- DATA  ->  ANSWER` for a set; the names are of the files that are
/// loaded, none for the built-in types. `\r\n` stands for an end of line in an answer, `…` for anything.
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
        var testDescription: String { name }

        init(_ file: URL) throws {
            name = file.lastPathComponent
            let text = try String(contentsOf: file, encoding: .utf8)
            for block in text.matches(
                of: #/<!-- (type|answers):([^>]*?)-->\n```[a-z]*\n(.*?)\n```/#.dotMatchesNewlines())
            {
                let names = block.2.split(separator: " ").map(String.init)
                if block.1 == "type", let name = names.first {
                    types[name] = String(block.3) + "\n"
                } else {
                    calls.append((names, try block.3.split(separator: "\n").map { try Self.call(String($0)) }))
                }
            }
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
        #expect(names.isSuperset(of: ["objects.md", "lua-api.md"]))
        for document in Self.documents {
            let called = Set(document.calls.flatMap(\.files))
            #expect(called == Set(document.types.keys), "\(document.name)")
        }
    }

    @Test("every call of an example answers what the document says", arguments: documents)
    func answers(_ document: Document) throws {
        for (files, calls) in document.calls {
            let scripts = files.map { ObjectScript(file: $0, source: Array((document.types[$0] ?? "").utf8)) }
            var configuration = EngineConfiguration(shards: 2, memoryBytes: 16 << 20)
            configuration.scripts = scripts
            configuration.objectTypes = try ObjectTypes(adding: scripts)
            try Self.withServer(Engine(configuration)) { client in
                for call in calls {
                    let answer = Self.ask(client, call)
                    let isAsSaid =
                        call.answer == answer
                        || call.answer.hasSuffix("…") && answer.hasPrefix(call.answer.dropLast())
                        || Self.isAsSaidBefore(call, answer)
                    #expect(isAsSaid, "\(document.name): \(call.key) answers \(answer.debugDescription)")
                }
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
