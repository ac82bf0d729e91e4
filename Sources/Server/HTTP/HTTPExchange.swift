// One request and its answer on a connection: the body is read as far as it may be, the answer written.

import HTTPTypes
import HummingbirdCore
import NIOCore

struct HTTPExchange: Sendable {
    let service: HTTPService
    let client: ClientWatch

    func respond(_ request: HummingbirdCore.Request, _ writer: consuming ResponseWriter) async throws {
        let answer: HTTPAnswer
        switch await admit(request) {
        case .failure(let refused): answer = refused.answer
        case .success(let (endpoint, call)):
            guard endpoint.body != .none else {
                answer = await service.answer(call, endpoint)
                break
            }
            let isTooLong = request.headers[.contentLength].flatMap { Int($0) }.map { $0 > endpoint.bodyMax } ?? false
            // Clients with much to send ask first.
            if !isTooLong, request.headers[.expect]?.lowercased() == "100-continue" {
                try await writer.writeInformationalHead(HTTPResponse(status: .continue))
            }
            answer = try await self.answer(call, endpoint, isTooLong ? nil : request)
        }
        switch answer.body {
        case .bytes(let bytes):
            let isBare = bytes.isEmpty || request.method == .head
            try await writer.write(
                response: answer.head,
                body: isBare ? ResponseBody() : ResponseBody(byteBuffer: ByteBuffer(bytes: bytes)))
        case .events(let events):
            var body = try await writer.writeHead(answer.head)
            for await event in events { try await body.write(ByteBuffer(bytes: event)) }
            try await body.finish(nil)
        }
    }

    private func admit(_ request: HummingbirdCore.Request) async -> Result<(HTTPEndpoint, HTTPCall), HTTPRefused> {
        do throws(HTTPFailure) {
            let call = try HTTPCall(
                request.method, request.head.path ?? "/", host: request.head.authority, fields: request.headers,
                client: client)
            if let early = service.preflight(call) { return .failure(HTTPRefused(answer: early)) }
            return await service.admit(call).mapError { HTTPRefused(answer: service.finished($0.answer, call)) }
        } catch {
            return .failure(HTTPRefused(answer: error.answer))
        }
    }

    /// `request`: whose body is to be read; nil where that is too long.
    private func answer(
        _ call: HTTPCall, _ endpoint: HTTPEndpoint, _ request: HummingbirdCore.Request?
    ) async throws -> HTTPAnswer {
        guard let request, let body = try await body(of: request, bytesMax: endpoint.bodyMax) else {
            return service.finished(HTTPService.tooLarge(endpoint.bodyMax).answer, call)
        }
        var whole = call
        whole.body = body
        return await service.answer(whole, endpoint)
    }

    /// Nil where it is longer.
    private func body(of request: HummingbirdCore.Request, bytesMax: Int) async throws -> [UInt8]? {
        var bytes: [UInt8] = []
        for try await piece in request.body {
            guard bytes.count + piece.readableBytes <= bytesMax else { return nil }
            bytes.append(contentsOf: piece.readableBytesView)
        }
        return bytes
    }
}

/// What is said in place of an endpoint's answer.
private struct HTTPRefused: Error {
    let answer: HTTPAnswer
}
