// The end of a login, whichever of memcached's protocols it came in: what the client may do from now on, and the answer, which
// comes late after several wrong ones.

import Engine
import Gather

/// One thread at a time.
struct SessionLogin<Routing: CommandRouter> {
    private let context: SessionContext<Routing>
    private let replies: ReplyQueue

    init(_ context: SessionContext<Routing>, replies: ReplyQueue) {
        self.context = context
        self.replies = replies
    }

    /// `roles`: of the user; nil where name and password are wrong. `echo`: of a request of the binary protocol. Where the answer has
    /// to wait, what follows the login waits for it.
    func end(_ roles: Roles?, as echo: BinaryEcho? = nil) {
        context.counters.add(.authCommands)
        if roles == nil { context.counters.add(.authErrors) }
        context.roles = roles ?? []
        let delay = context.configuration.desk?.attempt(from: context.client, isRight: roles != nil) ?? 0
        guard let desk = context.configuration.desk, delay > 0 else {
            return replies.written.writeLogin(isRight: roles != nil, echo)
        }
        let slot = replies.openSlot(.login(echo))
        replies.holdBack()
        let inbox = context.inbox
        let answer: PendingAnswer =
            .call(roles == nil ? .failure(Failure(.notAllowed, "authentication failure")) : .success(.null))
        desk.after(milliseconds: delay) { inbox.post(answer, slot: slot) }
    }
}

extension ReplyBuffer {
    /// `echo`: nil in the text protocol.
    mutating func writeLogin(isRight: Bool, _ echo: BinaryEcho?) {
        switch (echo, isRight) {
        case (nil, true): writeLine(Authentication.rightLine)
        case (nil, false): writeLine(Authentication.wrongLine)
        case (let echo?, true): writeBinary(echo, "Authenticated")
        case (let echo?, false): writeBinary(echo, .notAuthenticated)
        }
    }
}
