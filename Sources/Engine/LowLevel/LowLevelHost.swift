// The low-level interface as the rest of the node sees it: asynchronous calls of handlers, one step at a time on the compute
// pool.

import Synchronization

/// Asks other servers for keys; answers on any thread, once.
package typealias QuestionAsker =
    @Sendable ([JobQuestion], Deadline, @escaping @Sendable ([JobAnswer]) -> Void) -> Void

/// All handlers of a node run in one state, one after the other; one that waits for other servers lets the next run.
package final class LowLevelHost: @unchecked Sendable {
    private struct Call: Sendable {
        let key: VirtualKey
        let data: [UInt8]?
        let deadline: Deadline
        let ask: QuestionAsker
        let completion: @Sendable (Result<Value, Failure>) -> Void
    }

    /// A run that waits for an answer; touched only by whoever holds the gate.
    private final class Waiting: @unchecked Sendable {
        let machine: LowLevelMachine
        let run: LowLevelMachine.Run
        let call: Call

        init(_ machine: LowLevelMachine, _ run: LowLevelMachine.Run, _ call: Call) {
            self.machine = machine
            self.run = run
            self.call = call
        }
    }

    private enum Turn: Sendable {
        case call(Call)
        case resume(Waiting, [JobAnswer])
        case install(HandlerScripts?)
    }

    private let services: any LowLevelServices
    private let compute: ComputePool
    private let gate = ScriptGate<Turn>(waitingMax: 10_000)
    /// Touched only by whoever holds the gate.
    private var machine: LowLevelMachine?

    package init(_ scripts: HandlerScripts?, services: any LowLevelServices, compute: ComputePool) {
        self.services = services
        self.compute = compute
        install(scripts)
    }

    /// Has these scripts from now on; runs under way go on with theirs.
    package func install(_ scripts: HandlerScripts?) { enter(.install(scripts)) }

    /// Calls a handler. The completion is called once, on a thread of the pool. Fails with `miss` when the handler wrote
    /// nothing, `script_error`, `budget_exceeded` or `overloaded`. What it put into the cache stays.
    package func call(
        _ key: VirtualKey, data: [UInt8]?, deadline: Deadline, ask: @escaping QuestionAsker,
        completion: @escaping @Sendable (Result<Value, Failure>) -> Void
    ) {
        enter(.call(Call(key: key, data: data, deadline: deadline, ask: ask, completion: completion)))
    }

    private func enter(_ turn: Turn) {
        switch gate.enter(turn) {
        case .entered: compute.submit { self.perform(turn) }
        case .queued: break
        case .full: refuse(turn)
        }
    }

    private func refuse(_ turn: Turn) {
        let failure = Failure(.overloaded, "too many calls of scripts wait already; try again later")
        switch turn {
        case .call(let call): call.completion(.failure(failure))
        case .resume(let waiting, _): waiting.call.completion(.failure(failure))
        case .install: break
        }
    }

    private func perform(_ first: Turn) {
        var turn = first
        for _ in 0..<64 {
            run(turn)
            guard let next = gate.next() else { return }
            turn = next
        }
        let last = turn
        compute.submit { self.perform(last) }
    }

    private func run(_ turn: Turn) {
        switch turn {
        case .install(let scripts):
            machine = nil
            guard let scripts else { return }
            do throws(Failure) {
                machine = try LowLevelMachine(scripts, services: services)
            } catch {
                services.log("the scripts for the low-level interface do not load: \(error)")
            }
        case .call(let call):
            guard let machine else {
                return call.completion(
                    .failure(Failure(.scriptError, "there is no script '\(call.key.type)'")))
            }
            let (run, step) = machine.start(
                call.key, data: call.data, deadline: call.deadline,
                nanoseconds: compute.environment.uptimeNanoseconds, second: compute.environment.unixSeconds)
            go(on: step, run.map { Waiting(machine, $0, call) }, call)
        case .resume(let waiting, let answers):
            go(on: waiting.machine.resume(waiting.run, with: answers), waiting, waiting.call)
        }
    }

    private func go(on step: LowLevelMachine.Step, _ waiting: Waiting?, _ call: Call) {
        switch step {
        case .finished(let result): call.completion(result)
        case .asks(let questions):
            guard let waiting else { return }
            call.ask(questions, call.deadline) { answers in self.enter(.resume(waiting, answers)) }
        }
    }
}
