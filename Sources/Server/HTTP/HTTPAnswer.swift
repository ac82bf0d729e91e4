// What a request is answered: a status, fields, and a body that is there as a whole, or events as they come.

import Engine
package import HTTPTypes
import NIOCore

package struct HTTPAnswer: Sendable {
    package enum Body: Sendable {
        case bytes([UInt8])
        /// Pieces of a stream of server-sent events; it ends where they do.
        case events(AsyncStream<[UInt8]>)
    }

    package var status: HTTPResponse.Status
    package var fields = HTTPFields()
    package var body: Body

    package init(_ status: HTTPResponse.Status, type: String? = nil, _ bytes: [UInt8] = []) {
        self.status = status
        body = .bytes(bytes)
        if let type { fields[.contentType] = type }
    }

    init(_ status: HTTPResponse.Status = .ok, json value: Value) {
        self.init(status, type: Self.json, value.json)
    }

    static let json = "application/json"

    /// What is sent before the body.
    var head: HTTPResponse {
        var head = HTTPResponse(status: status, headerFields: fields)
        if case .bytes(let bytes) = body, status != .noContent, status != .notModified {
            head.headerFields[.contentLength] = String(bytes.count)
        }
        return head
    }

    /// All of an answer that is there as a whole, as it goes out over HTTP/1.1.
    func bytes(_ allocator: ByteBufferAllocator) -> ByteBuffer {
        let head = head
        var body: [UInt8] = []
        if case .bytes(let bytes) = self.body { body = bytes }
        var buffer = allocator.buffer(capacity: body.count + 256)
        buffer.writeString("HTTP/1.1 \(head.status.code) \(head.status.reasonPhrase)\r\n")
        for field in head.headerFields {
            buffer.writeString(field.name.rawName)
            buffer.writeStaticString(": ")
            buffer.writeString(field.value)
            buffer.writeStaticString("\r\n")
        }
        buffer.writeStaticString("\r\n")
        buffer.writeBytes(body)
        return buffer
    }
}

extension HTTPField.Name {
    static func own(_ name: String) -> HTTPField.Name {
        guard let made = HTTPField.Name(name) else { preconditionFailure("\(name) is no name of a field") }
        return made
    }

    static let cacheismoStatus = own("Cacheismo-Status")
    static let flags = own("X-Flags")
    static let frameOptions = own("X-Frame-Options")
    static let allowOrigin = own("Access-Control-Allow-Origin")
    static let allowMethods = own("Access-Control-Allow-Methods")
    static let allowHeaders = own("Access-Control-Allow-Headers")
    static let exposeHeaders = own("Access-Control-Expose-Headers")
    static let maxAge = own("Access-Control-Max-Age")
}
