// How far a request got that may come in parts: of the meta commands and of the binary protocol.

enum RequestStep: Equatable {
    /// It took so many bytes; `swallow` more are to be skipped.
    case done(bytes: Int, swallow: Int = 0)
    /// No use looking again before there are so many bytes.
    case needs(bytes: Int)
    /// Nothing more is read.
    case closes
}
