// The first command of a client that has to say who it is.
//
// Unsafe: reads the input through a raw buffer.

extension MemcachedSession {
    /// A client's first command says who it is, in the form of a `set`; how much of the input it took.
    @inline(never)
    func authenticate(_ bytes: UnsafeRawBufferPointer) -> Int {
        switch Authentication.step(bytes, credentials: configuration.credentials) {
        case .needs(let count):
            held.neededBytes = count
            return 0
        case .notAClient:
            verdict = .closing
            return bytes.count
        case .refused(let line, let consumed, let swallow):
            held.swallowBytes = swallow
            sending.written.writeLine(line)
            return consumed
        case .checked(let isRight, let consumed):
            counters.add(.authCommands)
            if !isRight { counters.add(.authErrors) }
            awaitsCredentials = !isRight
            sending.written.writeLine(isRight ? "STORED\r\n" : "CLIENT_ERROR authentication failure\r\n")
            return consumed
        }
    }
}
