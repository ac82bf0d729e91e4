// Object types from a directory of scripts (`--scripts DIR`).

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

extension ObjectTypes {
    /// The built-in types and one more for each `*.lua` in the directory, in the order of their names.
    /// - Throws: `script_error` that names the directory or the file, and what to do; nothing is loaded then.
    package static func load(directory: String) throws(Failure) -> ObjectTypes {
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
        let scripts = try files.sorted().map { (file) throws(Failure) in
            ObjectScript(file: file, source: try read("\(directory)/\(file)"))
        }
        return try ObjectTypes(adding: scripts)
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
