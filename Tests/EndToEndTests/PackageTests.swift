// What is given to operators: the Debian package with its life on a copy of this system, the unit, the Dockerfile, Kubernetes's files.

import Foundation
import Testing

@Suite(.serialized) struct PackageTests {
    /// Root in a container often may not.
    private static let mayMount =
        (try? Finished.run("/usr/bin/unshare", ["--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]))?.code == 0

    private static func has(_ program: String) -> Bool {
        (try? Finished.run("/usr/bin/which", [program]))?.code == 0
    }

    /// What a script of checks says: a line each, `ok` or not.
    private func expectAll(_ run: Finished, atLeast count: Int) {
        let lines = run.output.split(separator: "\n")
        let bad = lines.filter { !$0.hasPrefix("ok ") }.joined(separator: "\n")
        #expect(run.code == 0 && bad.isEmpty && lines.count >= count, "\(bad)\n\(run.errors)")
    }

    private func makePackage(_ version: String, _ folder: URL) throws -> String {
        let run = try Finished.run(
            Place.file("scripts/build-deb"), ["--dynamic", "--version", version, Place.binary, folder.path])
        guard run.code == 0 else { throw TestFailure("build-deb: \(run)") }
        return run.output.trimmingCharacters(in: .newlines)
    }

    @Test(
        "the package is installed, started, asked, upgraded while it runs, removed and purged; lintian finds no error",
        .enabled(if: mayMount && has("dpkg-shlibdeps") && has("dpkg-query"), "wants to mount, as root may, and Debian"))
    func package() throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("cacheismo-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: folder) }
        let packages = try ["1.0", "1.0+1"].map { try makePackage($0, folder) }
        let port = try TestCluster.freePorts(1)[0]
        let life = try Finished.run(
            "/usr/bin/env", ["python3", Place.file("Tests/Package/lifecycle.py")] + packages + ["\(port)"])
        expectAll(life, atLeast: 30)
        guard Self.has("lintian") else { return }
        // The Swift libraries of this machine, which a package that is given to others has built in.
        let lint = try Finished.run(
            "/usr/bin/env",
            [
                "lintian", "--allow-root", "--fail-on", "error", "--suppress-tags", "custom-library-search-path",
                packages[0],
            ])
        #expect(lint.code == 0, "\(lint)")
    }

    @Test("a package is not made of what is no program, nor of one that needs libraries that it does not name")
    func refusals() throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("cacheismo-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: folder) }
        let dynamic = try Finished.run("/usr/bin/ldd", [Place.binary]).output.contains("libswiftCore")
        var cases = [
            (["/nonexistent", folder.path], "is no program"), (["--fast", "a", "b"], "--fast"), ([], "usage"),
        ]
        if dynamic { cases.append(([Place.binary, folder.path], "--static-swift-stdlib")) }
        for (arguments, words) in cases {
            let run = try Finished.run(Place.file("scripts/build-deb"), arguments)
            #expect(run.code == 1 && run.errors.contains(words) && run.output == "", "\(arguments): \(run)")
        }
        #expect(!FileManager.default.fileExists(atPath: folder.path))
    }

    @Test("what the unit, the Dockerfile and Kubernetes's files name is there, and their options can be used")
    func deployment() throws {
        expectAll(
            try Finished.run(Place.python, [Place.file("Tests/Package/deployment.py"), Place.binary]), atLeast: 40)
        guard Self.has("kubectl") else { return }
        let built = try Finished.run("/usr/bin/env", ["kubectl", "kustomize", Place.file("deploy/kubernetes")])
        #expect(built.code == 0 && built.output.contains("kind: StatefulSet"), "\(built)")
    }
}
