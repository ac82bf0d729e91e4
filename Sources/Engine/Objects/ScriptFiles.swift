// The scripts of a directory (`--scripts DIR`), and when they changed.

import Glibc

/// What `*.lua` files a directory holds: scripts, and `*_test.lua`, which test them and are no part of a node.
package struct ScriptFiles: Sendable {
    package let directory: String

    package init(directory: String) { self.directory = directory }

    /// In the order of their names.
    /// - Throws: `script_error` that names the directory or the file, and what to do.
    package func read() throws(Failure) -> [ObjectScript] {
        try read(try names().filter { !Self.isTest($0) })
    }

    /// The tests, in the order of their names. Throws as `read`.
    package func readTests() throws(Failure) -> [ObjectScript] { try read(try names().filter(Self.isTest)) }

    private static func isTest(_ name: String) -> Bool { name.hasSuffix("_test.lua") }

    private func read(_ names: [String]) throws(Failure) -> [ObjectScript] {
        try names.map { (name) throws(Failure) in
            ObjectScript(file: name, source: try Self.read("\(directory)/\(name)"))
        }
    }

    /// Changes when a file is added, removed, replaced or written. Cost: one look at each file's entry, none at its text.
    package func fingerprint() -> UInt64 {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for name in (try? names()) ?? [] where !Self.isTest(name) {
            var facts = stat()
            guard stat("\(directory)/\(name)", &facts) == 0 else { continue }
            let changed = facts.st_mtim
            var hasher = [UInt64(facts.st_ino), UInt64(facts.st_size), UInt64(changed.tv_sec), UInt64(changed.tv_nsec)]
            hasher.append(name.utf8.reduce(0) { $0 &* 31 &+ UInt64($1) })
            for word in hasher { hash = (hash ^ word) &* 0x0000_0100_0000_01B3 }
        }
        return hash
    }

    private func names() throws(Failure) -> [String] {
        guard let handle = opendir(directory) else {
            throw Failure(
                .scriptError, "\(directory): \(String(cString: strerror(errno))); name a directory of *.lua files")
        }
        defer { closedir(handle) }
        var files: [String] = []
        while let entry = readdir(handle) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name.hasSuffix(".lua"), !name.hasPrefix(".") { files.append(name) }
        }
        return files.sorted()
    }

    /// One byte more than a script may have, so that a larger one is refused and not cut.
    private static let sourceBytesMax = 1 << 20 + 1

    private static func read(_ path: String) throws(Failure) -> [UInt8] {
        guard let file = fopen(path, "rb") else {
            throw Failure(.scriptError, "\(path): \(String(cString: strerror(errno)))")
        }
        defer { fclose(file) }
        let bytes = [UInt8](unsafeUninitializedCapacity: sourceBytesMax) { buffer, count in
            count = fread(buffer.baseAddress, 1, buffer.count, file)
        }
        guard ferror(file) == 0 else { throw Failure(.scriptError, "\(path): cannot be read") }
        return bytes
    }
}

extension ObjectTypes {
    /// The built-in types and those of a directory's scripts.
    /// - Throws: `script_error` that names the directory or the file; nothing is loaded then.
    package static func load(directory: String) throws(Failure) -> ObjectTypes {
        try ObjectTypes(adding: try ScriptFiles(directory: directory).read())
    }
}
