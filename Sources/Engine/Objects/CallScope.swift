// What holds for one call under the script gate: its instant, whether its method may change anything, and what the method
// said besides its answer. Unsafe pointers inside.

import CLua

/// Begun anew for each call. One thread at a time.
final class CallScope {
    private let environment: any Environment
    /// What the clock said when the call under way first asked; 0 before.
    private var clockReading: UInt64 = 0
    /// The method under way may change its object, or makes it.
    private var mayChange = false
    /// What the method said with `expire`: an instant, 0 for never; nil when it said nothing.
    private var expiryAsked: Expiry?
    /// The greatest `ticket` given so far.
    private var lastTicket: Int64 = 0

    init(environment: any Environment) { self.environment = environment }

    /// Before anything that asks for the time or runs a script.
    func begin() {
        clockReading = 0
        expiryAsked = nil
        mayChange = false
    }

    func allowChanges() { mayChange = true }
    func forbidChanges() { mayChange = false }

    /// What the method asked for with `expire`, once.
    func takeExpiry() -> Expiry? {
        guard let expiry = expiryAsked else { return nil }
        expiryAsked = nil
        return expiry
    }

    /// What `now()` answers during a call, in milliseconds since 1970.
    var nowMilliseconds: UInt64 {
        if clockReading == 0 { clockReading = UInt64(environment.unixMilliseconds) }
        return clockReading
    }
    var nowSeconds: UInt32 { UInt32(truncatingIfNeeded: nowMilliseconds / 1000) }

    /// Whether that is over at this call. Looks at the clock only where it may be.
    func hasPassed(_ expiry: Expiry) -> Bool { !expiry.isNever && expiry.isOver(at: nowSeconds) }

    // MARK: Functions for methods

    /// `now()` and `nowms()`, one instant for the whole call, in seconds and in milliseconds since 1970; `expire` and `ticket`.
    func registerFunctions(in state: LuaState) {
        state.registerRaw("now") { [unowned self] _, thread in
            lua_pushinteger(thread, Int64(nowMilliseconds / 1000))
            return 1
        }
        state.registerRaw("nowms") { [unowned self] _, thread in
            lua_pushinteger(thread, Int64(nowMilliseconds))
            return 1
        }
        registerExpire(in: state)
        registerTicket(in: state)
    }

    /// `expire(seconds)`: the object goes so long after this call; 0: it stays.
    private func registerExpire(in state: LuaState) {
        state.registerRaw("expire") { [unowned self] state, thread in
            guard mayChange else {
                return state.raise(
                    Failure(.scriptError, "expire is for methods that may change their object"), on: thread)
            }
            let seconds = lua_type(thread, 1) == LUA_TNUMBER ? clua_to_number(thread, 1) : -1
            let most = Double(UInt32.max - 1 - nowSeconds)
            guard seconds >= 0, seconds <= most else {
                return state.raise(
                    Failure(.scriptError, "expire needs a number of seconds, 0 for never, at most \(Int(most))"),
                    on: thread)
            }
            expiryAsked =
                seconds == 0 ? .never : Expiry(seconds: Int64(seconds.rounded(.up)), after: nowSeconds)
            return 0
        }
    }

    /// `ticket(before)`: a number larger than `before`, and at least the time in milliseconds; for 0, larger than all that the
    /// shard gave before. So what is made anew after it was dropped, evicted or flushed goes on where it was, also when the
    /// clock goes back or stands still.
    private func registerTicket(in state: LuaState) {
        state.registerRaw("ticket") { [unowned self] state, thread in
            guard mayChange else {
                return state.raise(
                    Failure(.scriptError, "ticket is for methods that may change their object"), on: thread)
            }
            let before = clua_to_integer(thread, 1)
            let ticket = max(min(before > 0 ? before : lastTicket, .max - 1) + 1, Int64(clamping: nowMilliseconds))
            lastTicket = max(lastTicket, ticket)
            lua_pushinteger(thread, ticket)
            return 1
        }
    }
}
