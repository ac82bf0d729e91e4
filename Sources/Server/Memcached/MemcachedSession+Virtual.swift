// What commands other than get and set make of a key that names a method: nothing, and they say so.
//
// Unsafe: keys are raw buffers into the input.

import Engine
import Gather

extension MemcachedSession {
    /// Whether an `add` of this key is a `new` that makes its object only where there is none.
    func makesOnlyIfAbsent(_ verb: StoreVerb, _ key: VirtualKey) -> Bool {
        verb == .add && key.method == "new" && !router.holdsBack(key)
    }

    /// What a command that calls no method answers for a key that names one: an item under it could never be read.
    @inline(never)
    func refuseVirtual(_ key: UnsafeRawBufferPointer, isSilent: Bool) {
        counters.add(.virtualErrors)
        guard !isSilent else { return }
        let shown = String(decoding: key.prefix(80), as: UTF8.self)
        sending.written.writeFailure(
            Failure(
                .scriptError,
                "\(shown) names a method: get, set, mg and ms call it (add and ms with ME a new), other commands are for "
                    + "plain keys"))
    }
}
