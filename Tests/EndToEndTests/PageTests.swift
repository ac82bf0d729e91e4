// The page of real nodes in a real browser.

import Foundation
import Testing

@Suite(.serialized) struct PageTests {
    @Test("a person looks at all views, runs jobs, cancels one, calls methods, and watches a board while a node dies")
    func page() throws {
        let origin = "http://127.0.0.1:\(try TestCluster.freePorts(1)[0])"
        let nodes = try HTTPCluster(nodes: 3, arguments: ["--http-origin", origin])
        try nodes.cluster.loadFlights()
        let pictures = FileManager.default.temporaryDirectory.appendingPathComponent(
            "cacheismo-page-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: pictures) }
        let victim = try #require(nodes.cluster[2].processIdentifier)
        let run = try Finished.run(
            Place.python,
            [Place.file("Tests/Clients/page.py")] + (0..<3).map { nodes.url("", node: $0) }
                + ["--origin", origin, "--kill-pid", "\(victim)", "--screenshots", pictures.path])
        let failures = run.output.split(separator: "\n").filter { !$0.hasPrefix("ok") }.joined(separator: "\n")
        #expect(run.code == 0, "\(failures)\n\(run.errors)")
        // Six views, at two widths, in two colours; and some of what a node's death looks like.
        let taken = (try? FileManager.default.contentsOfDirectory(atPath: pictures.path)) ?? []
        #expect(taken.filter { $0.hasSuffix(".png") && !$0.hasPrefix("death") }.count == 24, "\(taken)")
    }
}
