// The batches that leave for a node in one message: whose commands are where among its commands, and each one's answers on
// the way back.
//
// Unsafe: reads answers through a raw buffer, within its count.

package import Engine
import NIOCore

/// What several sessions ask of a node in one turn of a loop. To its owner it is one batch, whose commands are numbered
/// through. On the link's thread.
package final class JoinedBatches {
    private struct Part {
        let batch: ForwardBatch
        /// The number of its first command.
        let first: Int
        var end: Int { first + batch.count }
    }

    private var parts: [Part]
    private var count: Int
    private var bytes: Int
    private var isAnswered: [Bool] = []
    private var answered = 0

    package init(_ batch: ForwardBatch) {
        parts = [Part(batch: batch, first: 0)]
        count = batch.count
        bytes = batch.bytes.readableBytes
    }

    /// Whether the message is small enough to take another batch with it.
    package func hasRoom(for batch: ForwardBatch) -> Bool {
        count + batch.count <= ForwardBatch.commandsMax
            && bytes + batch.bytes.readableBytes <= ForwardBatch.bytesHigh
    }

    /// The batch's commands come behind those that are there. Not after the message has left.
    package func append(_ batch: ForwardBatch) {
        parts.append(Part(batch: batch, first: count))
        count += batch.count
        bytes += batch.bytes.readableBytes
    }

    /// None of those that have no answer will get one.
    package func fail(_ failure: Failure) {
        for part in parts { part.batch.fail(failure) }
    }

    /// Passes answers on to whose they are, if they are such and to commands that had none. Nil where they are not; else
    /// whether all commands have theirs now. Cost: two looks at each answer, and a copy for each batch.
    package func take(_ answers: UnsafeRawBufferPointer) -> Bool? {
        guard note(answers) else { return nil }
        var at = 0
        while let header = ForwardAnswer.header(answers, at) {
            let part = parts.count == 1 ? parts[0] : self.part(of: header.index)
            // Those of a batch mostly come one behind the other.
            var end = header.end
            while let next = ForwardAnswer.header(answers, end), next.index >= part.first, next.index < part.end {
                end = next.end
            }
            part.batch.answer(Array(answers[at..<end]), first: part.first)
            at = end
        }
        return answered == count
    }

    private func note(_ answers: UnsafeRawBufferPointer) -> Bool {
        if isAnswered.isEmpty { isAnswered = Array(repeating: false, count: count) }
        var at = 0
        while at < answers.count {
            guard let header = ForwardAnswer.header(answers, at), header.index < count, !isAnswered[header.index]
            else { return false }
            isAnswered[header.index] = true
            answered += 1
            at = header.end
        }
        return true
    }

    private func part(of index: Int) -> Part {
        guard let part = parts.last(where: { $0.first <= index }) else { preconditionFailure("the first begins at 0") }
        return part
    }
}
