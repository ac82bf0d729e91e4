// Several results that come one by one, from any threads, passed on once all are there.

import Synchronization

final class AllOf<R: Sendable>: Sendable {
    private struct State {
        var results: [R?]
        var left: Int
    }
    private let state: Mutex<State>
    private let completion: @Sendable ([R]) -> Void

    /// `completion`: gets as many as `count`, in their places, on the thread that gives the last one.
    init(_ count: Int, _ completion: @escaping @Sendable ([R]) -> Void) {
        state = Mutex(State(results: Array(repeating: nil, count: count), left: count))
        self.completion = completion
    }

    /// To be called once for each place.
    func give(_ result: R, _ place: Int) {
        let all: [R]? = state.withLock { state in
            state.results[place] = result
            state.left -= 1
            return state.left == 0 ? state.results.compactMap { $0 } : nil
        }
        if let all { completion(all) }
    }
}
