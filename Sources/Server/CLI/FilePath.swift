// Files as the commands read them: whole or in pieces, with errors that name the file.

import Engine
import Glibc

enum FilePath {
    /// `jobs/delays.lua` → `delays`.
    static func stem(_ path: String) -> String {
        let name = path.split(separator: "/").last.map(String.init) ?? path
        guard let dot = name.lastIndex(of: "."), dot != name.startIndex else { return name }
        return String(name[..<dot])
    }

    /// Whether there is something of that name that is no folder.
    static func isFile(_ path: String) -> Bool {
        let name = CommandLineBytes.bytes(of: path).map(CChar.init(bitPattern:)) + [0]
        var information = stat()
        return stat(name, &information) == 0 && information.st_mode & S_IFMT != S_IFDIR
    }

    /// At most `bytesMax` of it, as some files have no end.
    static func read(_ path: String, bytesMax: Int = .max) throws(Failure) -> [UInt8] {
        try read(try OpenFile(path), bytesMax)
    }

    static func readStandardInput() throws(Failure) -> [UInt8] { try read(.standardInput()) }

    private static func read(_ file: OpenFile, _ bytesMax: Int = .max) throws(Failure) -> [UInt8] {
        var bytes: [UInt8] = []
        while bytes.count < bytesMax, let piece = try file.read(bytesMax: min(1 << 20, bytesMax - bytes.count)) {
            bytes.append(contentsOf: piece)
        }
        return bytes
    }
}

/// A file open for reading; closed when it goes away.
final class OpenFile {
    private let descriptor: Int32
    private let path: String
    /// Size in bytes when it was opened; 0 where that means nothing (a pipe).
    let bytes: Int

    init(_ path: String) throws(Failure) {
        self.path = path
        let name = CommandLineBytes.bytes(of: path).map(CChar.init(bitPattern:)) + [0]
        descriptor = open(name, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw Self.failure(path) }
        var information = stat()
        guard fstat(descriptor, &information) == 0, information.st_mode & S_IFMT != S_IFDIR else {
            close(descriptor)
            throw Failure(.miss, "\(path) is a folder, not a file", about: .named(path))
        }
        bytes = Int(information.st_size)
    }

    private init(descriptor: Int32, name: String) {
        self.descriptor = descriptor
        path = name
        bytes = 0
    }

    /// Whatever it is, a socket too.
    static func standardInput() throws(Failure) -> OpenFile {
        let descriptor = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3)
        guard descriptor >= 0 else { throw failure("standard input") }
        return OpenFile(descriptor: descriptor, name: "standard input")
    }

    deinit { close(descriptor) }

    /// The next bytes, nil at the end.
    func read(bytesMax: Int) throws(Failure) -> [UInt8]? {
        var failed = false
        let piece = [UInt8](unsafeUninitializedCapacity: bytesMax) { buffer, count in
            var got = Glibc.read(descriptor, buffer.baseAddress, bytesMax)
            while got < 0, errno == EINTR { got = Glibc.read(descriptor, buffer.baseAddress, bytesMax) }
            failed = got < 0
            count = max(0, got)
        }
        guard !failed else { throw Self.failure(path) }
        return piece.isEmpty ? nil : piece
    }

    private static func failure(_ path: String) -> Failure {
        Failure(.miss, "can't read \(path): \(String(cString: strerror(errno)).lowercased())", about: .named(path))
    }
}
