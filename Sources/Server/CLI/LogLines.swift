// The log on standard error: lines for people, or for machines one JSON object each.

import ArgumentParser
import Engine
import Glibc
import Logging

enum LogFormat: String, ExpressibleByArgument, CaseIterable, Sendable {
    case text, json

    func handler(label: String) -> any LogHandler {
        switch self {
        case .text: TextLines(StreamLogHandler.standardError(label: label))
        case .json: JSONLines()
        }
    }
}

/// What a line is about is in its message; its fields are for machines.
private struct TextLines: LogHandler {
    private var stream: StreamLogHandler
    var metadata: Logger.Metadata = [:]

    init(_ stream: StreamLogHandler) { self.stream = stream }

    var logLevel: Logger.Level {
        get { stream.logLevel }
        set { stream.logLevel = newValue }
    }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        var event = event
        event.metadata = nil
        // Names and messages come from clients: none of them makes a line of its own, or moves a terminal's cursor.
        event.message = "\(Terminal.visible(event.message.description))"
        stream.log(event: event)
    }
}

/// `{"time", "level", "message"}`, and the fields of what happened, the first of them `event`.
private struct JSONLines: LogHandler {
    var logLevel = Logger.Level.info
    var metadata: Logger.Metadata = [:]

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        let microseconds = Int64(time.tv_sec) * 1_000_000 + Int64(time.tv_nsec) / 1_000
        var pairs = [
            Value.Pair(.string("time"), .string(Timestamp.text(microseconds))),
            Value.Pair(.string("level"), .string(event.level.rawValue)),
            Value.Pair(.string("message"), .string(event.message.description)),
        ]
        let fields = metadata.merging(event.metadata ?? [:]) { $1 }
        func place(_ name: String) -> String { name == "event" ? "" : name }
        for (name, value) in fields.sorted(by: { place($0.key) < place($1.key) }) {
            pairs.append(Value.Pair(.string(name), Self.value(value)))
        }
        let line = Value.map(pairs).json + [UInt8(ascii: "\n")]
        // In one piece, so that lines of several threads stay whole.
        _ = line.withUnsafeBytes { write(STDERR_FILENO, $0.baseAddress, $0.count) }
    }

    /// Whole numbers as such.
    private static func value(_ value: Logger.MetadataValue) -> Value {
        switch value {
        case .string(let text): .string(text)
        case .stringConvertible(let thing):
            (thing as? Int).map { .int(Int64($0)) } ?? (thing as? Double).map { .double($0) }
                ?? .string(thing.description)
        case .array(let list): .array(list.map(Self.value))
        case .dictionary(let fields):
            .map(fields.sorted { $0.key < $1.key }.map { Value.Pair(.string($0.key), Self.value($0.value)) })
        @unknown default: .string("\(value)")
        }
    }
}

extension Logger.MetadataValue {
    static func number(_ number: Int) -> Self { .stringConvertible(number) }
    static func number(_ number: Double) -> Self { .stringConvertible(number) }
}
