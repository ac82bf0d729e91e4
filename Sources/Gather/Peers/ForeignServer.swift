// One get from a server that is no node of this cluster, in memcached's protocol.

import Engine
import NIOCore
import NIOPosix

enum ForeignServer {
    /// The value of a key; `miss`, or why there is no answer. A connection for each: this is no way for much traffic.
    /// - Parameter server: `host:port`.
    static func get(_ key: [UInt8], from server: String, milliseconds: Int) async -> Result<Value, Failure> {
        guard let colon = server.lastIndex(of: ":"), let port = Int(server[server.index(after: colon)...]),
            (1...65_535).contains(port)
        else {
            return .failure(
                Failure(
                    .scriptError, "there is no server '\(server)'; name a node, or host:port", about: .named(server)))
        }
        if let refusal = Key.refusal(ofText: key) { return .failure(refusal) }
        let loop = MultiThreadedEventLoopGroup.singleton.any()
        let answer = loop.makePromise(of: Value.self)
        let left = TimeAmount.milliseconds(Int64(milliseconds))
        let connecting = ClientBootstrap(group: loop).connectTimeout(left).channelInitializer { channel in
            channel.eventLoop.makeCompletedFuture {
                try channel.pipeline.syncOperations.addHandler(ForeignGetHandler(key: key, server: server, answer))
            }
        }.connect(host: String(server[..<colon]), port: port)
        connecting.whenFailure { _ in
            answer.fail(Failure(.unreachable, "\(server) cannot be reached", about: .unreached(server)))
        }
        let late = loop.scheduleTask(in: left) {
            answer.fail(Failure(.timeout, "\(server) did not answer in time", about: .named(server)))
        }
        defer { late.cancel() }
        defer { connecting.whenSuccess { $0.close(promise: nil) } }
        do {
            return .success(try await answer.futureResult.get())
        } catch let failure as Failure {
            return .failure(failure)
        } catch {
            return .failure(Failure(.unreachable, "\(server): \(error)", about: .named(server)))
        }
    }
}

/// Sends the get, reads its answer, and closes.
private final class ForeignGetHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer
    private static let answerBytesMax = 16 << 20

    private let key: [UInt8]
    private let server: String
    private let answer: EventLoopPromise<Value>
    private var received = ByteBuffer()

    init(key: [UInt8], server: String, _ answer: EventLoopPromise<Value>) {
        self.key = key
        self.server = server
        self.answer = answer
    }

    func channelActive(context: ChannelHandlerContext) {
        var request = context.channel.allocator.buffer(capacity: key.count + 8)
        request.writeString("get ")
        request.writeBytes(key)
        request.writeString("\r\n")
        context.writeAndFlush(wrapOutboundOut(request), promise: nil)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var part = unwrapInboundIn(data)
        received.writeBuffer(&part)
        guard received.readableBytes <= Self.answerBytesMax else {
            return finish(
                context,
                .failure(Failure(.budgetExceeded, "\(server) answered too much", fault: .server, about: .named(server)))
            )
        }
        if let result = parse() { finish(context, result) }
    }

    func channelInactive(context: ChannelHandlerContext) {
        answer.fail(Failure(.unreachable, "\(server) closed the connection", about: .named(server)))
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        finish(context, .failure(Failure(.unreachable, "\(server): \(error)", about: .named(server))))
    }

    private func finish(_ context: ChannelHandlerContext, _ result: Result<Value, Failure>) {
        switch result {
        case .success(let value): answer.succeed(value)
        case .failure(let failure): answer.fail(failure)
        }
        context.close(promise: nil)
    }

    /// Nil while the answer is not whole.
    private func parse() -> Result<Value, Failure>? {
        let view = received.readableBytesView
        guard let end = view.firstIndex(of: 10) else { return nil }
        let line = String(decoding: view[..<end], as: UTF8.self).filter { !$0.isNewline }
        let words = line.split(separator: " ")
        switch words.first {
        case "END": return .failure(.noSuchKey)
        case "VALUE":
            guard words.count >= 4, let count = Int(words[3]), count >= 0 else { break }
            let start = view.index(after: end)
            guard view.endIndex - start - 7 >= count else { return nil }
            return .success(.bytes(Array(view[start..<(start + count)])))
        default:
            let reason = words.dropFirst().first.flatMap { Reason(rawValue: String($0)) } ?? .scriptError
            return .failure(Failure(reason, "\(server) answered: \(line)", about: .named(server)))
        }
        return .failure(
            Failure(.scriptError, "\(server) answered what is no memcached answer: \(line)", about: .named(server)))
    }
}
