// A file with a text in it, for a program that reads its settings from one; gone when nobody refers to it.

import Engine
import Glibc

final class TemporaryFile: Sendable {
    let path: String

    init(_ text: String) throws(Failure) {
        var template = Array("/tmp/cacheismo-XXXXXX".utf8CString)
        let descriptor = mkstemp(&template)
        guard descriptor >= 0 else {
            throw Failure(.unreachable, "can't write to /tmp: \(String(cString: strerror(errno)).lowercased())")
        }
        path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        let bytes = Array(text.utf8)
        let written = write(descriptor, bytes, bytes.count)
        close(descriptor)
        guard written == bytes.count else {
            unlink(path)
            throw Failure(.unreachable, "can't write \(path): is the disk full?")
        }
    }

    deinit { unlink(path) }
}
