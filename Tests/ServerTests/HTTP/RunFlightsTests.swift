// The same run, asked for by several: one flight, its error for nobody later, each asker's own time.

import Engine
import Server
import Testing

@Suite(.serialized) struct RunFlightsTests {
    private static let lua = "Content-Type: application/x-lua"
    private static let busy = "local n = 0; for i = 1, 2e8 do n = n + i end"

    private func node(_ source: String) async -> HTTPNode {
        let node = HTTPNode()
        #expect(await node.ask("PUT /v1/jobs/j", [Self.lua], body: source).status == 200)
        return node
    }

    /// Asked at the same time; the runs that answered, by their ids.
    private func together(_ node: HTTPNode, _ targets: [String]) async -> [HTTPReply] {
        await withTaskGroup(of: (Int, HTTPReply).self) { group in
            for (at, target) in targets.enumerated() { group.addTask { (at, await node.ask("GET \(target)")) } }
            return await group.reduce(into: []) { $0.append($1) }.sorted { $0.0 < $1.0 }.map(\.1)
        }
    }

    private func ids(_ replies: [HTTPReply]) -> Set<String> { Set(replies.compactMap { $0.json?["query"]?.text }) }

    @Test("two who ask for the same run at once are answered by one, others by their own")
    func shared() async {
        let node = await node(
            "job.params = { a = 1 }\nfunction map(s, p) \(Self.busy) return { p.a } end\nfunction reduce(a, b) return a end"
        )
        let path = "/v1/jobs/j/run?timeout=600000"
        // Where the machine is busy the second may come too late: then they are asked again.
        var found: Set<String> = []
        for _ in 0..<20 {
            let replies = await together(node, [path, path])
            #expect(replies.allSatisfy { $0.status == 200 }, "\(replies)")
            found = ids(replies)
            if found.count == 1 { break }
        }
        #expect(found.count == 1)
        let others = await together(node, [path, path + "&a=2", path + "&require=any"])
        #expect(ids(others).count == 3, "\(others)")
    }

    @Test("an error is told to those who wait for it, and to nobody later")
    func errors() async {
        let node = await node("function map(s) \(Self.busy) error('no') end")
        let path = "/v1/jobs/j/run?timeout=600000"
        var found: Set<String> = []
        for _ in 0..<20 {
            let replies = await together(node, [path, path])
            #expect(replies.allSatisfy { $0.status == 400 }, "\(replies)")
            found = ids(replies)
            if found.count == 1 { break }
        }
        #expect(found.count == 1)
        let later = await node.ask("GET \(path)")
        #expect(later.status == 400 && ids([later]).isDisjoint(with: found), "\(later)")
    }

    @Test("who joins late has all of its own time, and not what was left of the first one's")
    func deadlines() async throws {
        let node = await node("function map(s) while true do end end")
        let path = "/v1/jobs/j/run?timeout=3000"
        async let first = node.ask("GET \(path)")
        try await Task.sleep(for: .milliseconds(1_500))
        let clock = ContinuousClock()
        let began = clock.now
        let late = await node.ask("GET \(path)")
        // Less what is kept for the reduce. The first one's time was over after half of it.
        #expect(began.duration(to: clock.now) >= .milliseconds(2_500))
        let early = await first
        #expect([422, 504].contains(early.status) && [422, 504].contains(late.status), "\(early) \(late)")
        #expect(ids([early, late]).count == 2)
    }
}
