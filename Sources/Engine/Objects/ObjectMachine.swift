// One call after the other on a shard's objects: from a key to the method, its object and the answer, by the long way of any
// call or the short way of one that ends at once. One thread at a time; unsafe pointers inside.

import CLua

/// Knows nothing of threads or gates: a call is either finished or left paused.
final class ObjectMachine {
    enum Progress {
        case finished(Result<Value, Failure>)
        /// The slice is over; `resume` goes on.
        case paused
    }

    enum AtOnce {
        /// Nothing has happened: the call has to go the long way.
        case declined
        case answered
        /// There is no such object.
        case missed
        case failed(Failure)
        /// The slice is over; `resume` goes on.
        case paused
    }

    /// A call that goes the long way, or has been paused.
    private struct Running {
        let call: ObjectCall
        let key: ObjectKey
        /// None while it is not known, and for a verb that every type has.
        var method = ReadyMethod()
        /// Where it is counted; nil before that is known.
        var meter: MethodMeter?
        /// It makes the object, by `new`.
        var isConstructor = false
        /// The object was made for this method, and goes when it fails.
        var hasMadeObject = false
        var deadlineNanoseconds: UInt64
        var instructionsLeft = 0
        var pausedNanoseconds: UInt64 = 0
    }

    private let configuration: ObjectHostConfiguration
    private let state: LuaState
    private let types: LoadedTypes
    private let scope: CallScope
    private let live: LiveObjects
    private let meters: MethodMeters
    private let objects: ShardObjects
    private let maker: ObjectMaker
    private let runner: MethodRunner
    private let upgrades: ObjectUpgrades
    private let indexes: IndexKeeper
    private let room: ObjectRoom
    private let functions: ObjectFunctions
    private var running: Running?
    /// The key of a method that was called at once, while it runs.
    private var keyAtOnce: UnsafeRawBufferPointer?
    private var figures = ObjectStatistics()
    private let hot: HotObjects
    /// Calls that pass before the next one is recorded there.
    private var hotGap: UInt64 = 0

    /// - Parameters:
    ///   - meters: where its calls are counted.
    ///   - hot: where those are noted that are called most.
    init(
        types new: ObjectTypes, configuration: ObjectHostConfiguration, shelf: any ObjectShelf, meters: MethodMeters,
        hot: HotObjects
    ) {
        self.configuration = configuration
        self.meters = meters
        self.hot = hot
        live = LiveObjects(meters)
        state = LuaState(memoryBytesMax: configuration.memoryBytesMax)
        clua_collect_young(state.main)
        types = LoadedTypes(state, meters)
        scope = CallScope(environment: configuration.environment)
        let pinned = PinnedObjects(state, live: live, bytesMax: configuration.pinnedBytesMax)
        let typeIndexes = TypeIndexes()
        upgrades = ObjectUpgrades(state, types: types)
        objects = ShardObjects(
            state, types: types, scope: scope, live: live, pinned: pinned, indexes: typeIndexes, shelf: shelf,
            upgrades: upgrades)
        maker = ObjectMaker(
            state, types: types, scope: scope, objects: objects, pinned: pinned,
            answerBytesMax: configuration.answerBytesMax)
        runner = MethodRunner(state, configuration)
        indexes = IndexKeeper(
            state, types: types, scope: scope, live: live, objects: objects, indexes: typeIndexes,
            bytesMax: configuration.indexBytesMax)
        room = ObjectRoom(
            state, live: live, objects: objects, pinned: pinned, indexes: typeIndexes, shelf: shelf,
            configuration: configuration)
        functions = ObjectFunctions(types: types, objects: objects, upgrades: upgrades)
        ScriptFunctions.register(in: state, log: configuration.log)
        clua_open_objects(state.main)
        scope.registerFunctions(in: state)
        functions.register(in: state) { [unowned self] in runningKey }
        for failure in install(new) {
            preconditionFailure("a type that was described does not load: \(failure)")
        }
    }

    /// Has these types from now on. Objects of a type that changed get its new methods; those of one that went are gone.
    /// Returns what did not load, which stays as it was.
    @discardableResult
    func install(_ new: ObjectTypes) -> [Failure] {
        let before = figures.scriptBytes == 0 ? 0 : state.memoryBytes
        let changes = types.install(new)
        figures.scriptBytes += max(0, state.memoryBytes - before)
        objects.removeAll(ofTypes: changes.gone)
        indexes.install(changes)
        return changes.failures
    }

    /// Forgets all live objects.
    func removeAll() {
        objects.removeAll()
        room.beginAnew()
    }

    // MARK: Between calls

    /// The shard's figures as of now.
    var statistics: ObjectStatistics {
        var statistics = figures
        objects.report(to: &statistics)
        statistics.memoryBytes = state.memoryBytes
        return statistics
    }

    /// See `ObjectRoom`.
    var needsRoom: Bool { room.isNeeded(afterCalls: figures.calls) }
    func makeRoom(onPool: Bool) -> Bool { room.make(afterCalls: figures.calls, onPool: onPool) }
    func shareMemory() { room.share() }

    /// See `IndexKeeper`.
    func answer(_ work: inout IndexWork) throws(Failure) -> IndexAnswer? { try indexes.answer(&work) }

    /// See `ShardObjects`.
    func beginWalk(over type: String) throws(Failure) -> Int { try objects.beginWalk(over: type) }
    func endWalk(over type: String, since mark: Int) -> [[UInt8]] {
        objects.endWalk(over: type, since: mark, now: configuration.environment.unixSeconds)
    }

    /// `{name, state, ttl}` of those objects that are still there, live or in `items`.
    func states(of type: String, _ names: ArraySlice<[UInt8]>, _ items: ItemStore) throws(Failure) -> [Value] {
        let now = configuration.environment.unixSeconds
        var list: [Value] = []
        for name in names {
            let key = ObjectKey(type: type, name: name)
            guard
                let (expiry, state) = try objects.state(
                    of: key, items, now: now, bytesMax: configuration.answerBytesMax),
                !expiry.isOver(at: now)
            else { continue }
            var pairs: [Value.Pair] = [.init(.string("name"), .bytes(name)), .init(.string("state"), state)]
            if let left = expiry.remaining(at: now) { pairs.append(.init(.string("ttl"), .int(left))) }
            list.append(.map(pairs))
        }
        return list
    }

    // MARK: A call, the long way

    /// - Parameter sliceNanoseconds: pauses after that long; 0 runs to the end.
    func start(_ call: ObjectCall, sliceNanoseconds: UInt64) -> Progress {
        begin()
        clua_views_begin(state.control)
        let now = configuration.environment.uptimeNanoseconds
        let key = ObjectKey(type: call.key.type, name: call.key.object)
        running = Running(call: call, key: key, deadlineNanoseconds: now &+ configuration.methodNanosecondsMax)
        do throws(Failure) {
            guard now < call.deadline.uptimeNanoseconds else {
                throw Failure(
                    .timeout, "the deadline had passed before \(call.key.type):\(call.key.method) could start")
            }
            let target = try CallTarget(call, in: types)
            running?.meter = target.meter
            runner.setLimits(
                deadline: now &+ configuration.methodNanosecondsMax, call.deadline,
                instructions: configuration.instructionsMax)
            switch target.kind {
            case .verb(let verb):
                return succeed(
                    try objects.perform(verb, on: key, target.type, target.arguments, now: scope.nowSeconds))
            case .constructor(let onlyIfAbsent):
                if let kept = try maker.keptAnswer(key, target.type, onlyIfAbsent: onlyIfAbsent) {
                    return succeed(try Self.constructed(kept, call))
                }
                try maker.begin(target.type)
                running?.isConstructor = true
                return advance(try run(target, on: 0, sliceNanoseconds))
            case .method:
                return advance(try run(target, on: try object(key, target), sliceNanoseconds))
            }
        } catch {
            return fail(error)
        }
    }

    /// Goes on with the paused method, to its end.
    func resume() -> Progress {
        guard var call = running else { preconditionFailure("no method is paused") }
        let now = configuration.environment.uptimeNanoseconds
        call.deadlineNanoseconds &+= now &- call.pausedNanoseconds
        running = call
        runner.setLimits(
            deadline: call.deadlineNanoseconds, call.call.deadline, instructions: call.instructionsLeft,
            usage: runner.usage)
        return advance(runner.resume())
    }

    /// The reference to the object that the method is called on, which may have to be made.
    private func object(_ key: ObjectKey, _ target: CallTarget) throws(Failure) -> Int32 {
        if let object = objects.use(key, target.type) {
            key.name.withUnsafeBytes { noteUse(ofType: target.type.name, $0) }
            if upgrades.isDue(object, target.type) {
                try upgrades.perform(object, target.type)
                if let at = objects.position(of: key) { indexes.update(at: at) }
            }
            return object
        }
        guard let maker = target.type.makers[target.name] else { throw Self.noSuchObject(key) }
        let object = try self.maker.make(key, target.type, by: maker)
        running?.hasMadeObject = true
        return object
    }

    private func run(
        _ target: CallTarget, on object: Int32, _ sliceNanoseconds: UInt64
    ) throws(Failure) -> MethodRunner.Status {
        running?.method = target.method
        if target.method.changes { scope.allowChanges() }
        return try runner.start(target.method, on: object, target.arguments, sliceNanoseconds: sliceNanoseconds)
    }

    /// What comes of a method that has stopped running.
    private func advance(_ status: MethodRunner.Status) -> Progress {
        guard let call = running else { preconditionFailure("no method is under way") }
        let type = types[call.key.type]
        do throws(Failure) {
            switch status {
            case .paused:
                pause()
                return .paused
            case .wrongArguments: preconditionFailure("arguments are counted before a method runs")
            case .failed:
                let failure = explained(runner.failure(), call).calledAs(call.call.key, data: call.call.data)
                try? types.restoreWatched(type)
                throw failure
            case .returned:
                try types.restoreWatched(type)
                return succeed(try call.isConstructor ? placed(call, type) : answered(call))
            }
        } catch {
            return fail(error)
        }
    }

    /// A budget that ended because the caller's own time was over is a timeout.
    private func explained(_ failure: Failure, _ call: Running) -> Failure {
        guard runner.ranOutOfTime, configuration.environment.hasPassed(call.call.deadline) else { return failure }
        return failure.because(of: .timeout)
    }

    private func answered(_ call: Running) throws(Failure) -> Value {
        try runner.finish { () throws(Failure) in try settle(call.method, at: objects.position(of: call.key)) }
    }

    /// Puts the object that `new` returned in its place.
    private func placed(_ call: Running, _ type: LoadedType?) throws(Failure) -> Value {
        guard let type else { preconditionFailure("a type stays while its method runs") }
        let made: Int32? = try runner.finishMaking { (thread) throws(Failure) in
            try maker.place(resultOf: "new", on: thread, 1, call.key, type, expiry: call.call.key.expiry)
        }
        guard made != nil else { return try Self.constructed(.string("NOT_CREATED"), call.call) }
        if let at = objects.position(of: call.key) { indexes.update(at: at) }
        return .string("CREATED")
    }

    /// The answer of what makes an object. A `set` can only say whether it was stored.
    private static func constructed(_ answer: Value, _ call: ObjectCall) throws(Failure) -> Value {
        guard call.data != nil, answer != .string("CREATED") else { return answer }
        throw Failure(.miss, "\(call.key.type):\(call.key.method): \(answer.text ?? "NOT_CREATED")")
    }

    private func succeed(_ value: Value) -> Progress {
        count(.answered)
        running = nil
        return .finished(.success(value))
    }

    private func fail(_ failure: Failure) -> Progress {
        undo(failure)
        count(failure.reason == .miss ? .missed : .failed)
        if let running { tell(failure, of: running.call.key) }
        if let running, running.hasMadeObject, let at = objects.position(of: running.key) { objects.remove(at: at) }
        running = nil
        return .finished(.failure(failure))
    }

    /// The call that is over. What it waited for a thread is none of its time.
    private func count(_ outcome: MethodOutcome) {
        guard let running else { return }
        // One with the wrong arguments did not come so far that it was known.
        let named = types[running.call.key.type].flatMap { types.meter(running.call.key.method, of: $0) }
        guard let meter = running.meter ?? named else { return }
        let began = running.deadlineNanoseconds &- configuration.methodNanosecondsMax
        let now = configuration.environment.uptimeNanoseconds
        let nanoseconds = now > began ? now - began : 0
        meter.count(outcome)
        meters.measure(
            meter, type: types.number(of: running.call.key.type), nanoseconds: nanoseconds, sampled: false)
        guard configuration.slow.isSlow(nanoseconds) else { return }
        let key = running.call.key
        configuration.slow.note(
            "\(key.type):\(key.method):\(CutText.of(running.key.name))", nanoseconds: nanoseconds,
            unixMilliseconds: configuration.environment.unixMilliseconds)
    }

    // MARK: A call, the short way

    /// Calls a method of an object that is there, without making values, strings or arrays on the way. `answer` is called at
    /// most once, with what is good only while it runs.
    func startAtOnce(
        _ located: LocatedMethod, key: UnsafeRawBufferPointer, data: UnsafeRawBufferPointer?,
        sliceNanoseconds: UInt64, answer: (UnsafeRawBufferPointer) -> Void
    ) -> AtOnce {
        guard let method = types.method(located), let meter = method.meter else { return .declined }
        let began = meter.isDue ? configuration.environment.uptimeNanoseconds : 0
        let name = UnsafeRawBufferPointer(rebasing: key[located.nameStart..<located.nameEnd])
        begin()
        guard
            let object = objects.use(type: method.type, name: name, hash: located.nameHash)
                ?? bringBack(name, ofType: method.type)
        else { return missed(method, located, key, data) }
        if method.upgrades, upgrades.isDue(object, ofType: method.type) {
            figures.calls &-= 1
            return .declined
        }
        noteUse(ofType: types.name(of: method.type), name)
        keyAtOnce = key
        defer { keyAtOnce = nil }
        if method.changes { scope.allowChanges() }
        let status = runner.start(
            method, on: object, arguments: located.nameEnd < key.count ? key[(located.nameEnd + 1)...] : nil, data,
            sliceNanoseconds: sliceNanoseconds)
        do throws(Failure) {
            switch status {
            case .returned:
                // What the method looked at may have moved the object in the table.
                try runner.finish(
                    { () throws(Failure) in
                        try settle(
                            method, at: objects.position(type: method.type, name: name, hash: located.nameHash))
                    }, answer)
                meter.count(.answered)
                if began != 0 { measure(meter, method, since: began) }
                return .answered
            case .paused:
                takeTheLongWay(key, data, method)
                return .paused
            case .wrongArguments: throw wrongArguments(located, key, data)
            case .failed: throw called(runner.failure(), key, data)
            }
        } catch {
            meter.count(error.reason == .miss ? .missed : .failed)
            undo(error)
            if let key = VirtualKey(key) { tell(error, of: key) }
            // The long way does so where it sets its limits.
            state.freeReleased()
            return .failed(error)
        }
    }

    /// One of many calls, which stands for those that were not measured.
    @inline(never)
    private func measure(_ meter: MethodMeter, _ method: ReadyMethod, since began: UInt64) {
        let now = configuration.environment.uptimeNanoseconds
        meters.measure(meter, type: method.type, nanoseconds: now > began ? now - began : 0, sampled: true)
    }

    /// Starts to bring in the objects of these calls, as far as they are this shard's.
    func prefetch(_ methods: UnsafeBufferPointer<LocatedMethod>, shard: Int) {
        withUnsafeTemporaryAllocation(of: Int32.self, capacity: Int(CLUA_PREFETCH_MAX)) { references in
            for located in methods where located.shard == shard {
                guard let type = types.type(of: located) else { continue }
                live.prefetch(type: type, hash: located.nameHash)
            }
            var count = 0
            for located in methods where located.shard == shard {
                guard count < references.count, let type = types.type(of: located),
                    let reference = live.guess(type: type, hash: located.nameHash)
                else { continue }
                references[count] = reference
                count &+= 1
            }
            clua_prefetch(state.main, references.baseAddress, Int32(count))
        }
    }

    /// The reference to an object that was on the shelf.
    @inline(never)
    private func bringBack(_ name: UnsafeRawBufferPointer, ofType number: UInt32) -> Int32? {
        let key = ObjectKey(type: types.name(of: number), name: Array(name))
        return types[key.type].flatMap { objects.bringBack(key, $0) }
    }

    /// There is no such object: what is wrong with the call all the same comes first.
    @inline(never)
    private func missed(
        _ method: ReadyMethod, _ located: LocatedMethod, _ key: UnsafeRawBufferPointer, _ data: UnsafeRawBufferPointer?
    ) -> AtOnce {
        let count = Self.argumentCount(located, key, data)
        guard count >= method.argumentsMin, count <= method.argumentsMax else {
            let failure = wrongArguments(located, key, data)
            note(failure)
            method.meter?.count(.failed)
            return .failed(failure)
        }
        guard !method.makes else { return .declined }
        method.meter?.count(.missed)
        return .missed
    }

    private static func argumentCount(
        _ located: LocatedMethod, _ key: UnsafeRawBufferPointer, _ data: UnsafeRawBufferPointer?
    ) -> Int {
        key[located.nameEnd...].count { $0 == UInt8(ascii: ":") } + (data == nil ? 0 : 1)
    }

    /// A method's failure with what was called.
    @inline(never)
    private func called(
        _ failure: Failure, _ key: UnsafeRawBufferPointer, _ data: UnsafeRawBufferPointer?
    ) -> Failure {
        guard let key = VirtualKey(key) else { return failure }
        return failure.calledAs(key, data: data.map { Array($0.prefix(CutText.partBytesMax + 1)) })
    }

    @inline(never)
    private func wrongArguments(
        _ located: LocatedMethod, _ key: UnsafeRawBufferPointer, _ data: UnsafeRawBufferPointer?
    ) -> Failure {
        let prefix = String(decoding: key[..<(located.nameStart - 1)], as: UTF8.self)
        let parts = prefix.split(separator: ":").map(String.init)
        let signature = types[parts[0]]?.signatures[parts[1]] ?? MethodSignature()
        return signature.failure(Self.argumentCount(located, key, data), prefix: prefix + ":NAME")
    }

    /// From here on the call is one that came the long way, and is paused.
    @inline(never)
    private func takeTheLongWay(_ bytes: UnsafeRawBufferPointer, _ data: UnsafeRawBufferPointer?, _ method: ReadyMethod)
    {
        guard let key = VirtualKey(bytes) else { preconditionFailure("a key that named a method is a virtual key") }
        running = Running(
            call: ObjectCall(key: key, data: data.map { Array($0) }, deadline: .never, completion: { _ in }),
            key: ObjectKey(type: key.type, name: key.object), method: method, meter: method.meter,
            deadlineNanoseconds: runner.deadlineNanoseconds)
        pause()
    }

    // MARK: Either way

    private func begin() {
        figures.calls &+= 1
        scope.begin()
    }

    /// Counts the call for its object. Cost: a decrement, but for the one in a period that is recorded.
    @inline(__always)
    private func noteUse(ofType type: @autoclosure () -> String, _ name: UnsafeRawBufferPointer) {
        if hotGap > 0 { hotGap &-= 1 } else { hotGap = hot.record(type: type(), name: name) }
    }

    /// The key of the object whose method runs; nil between calls.
    private var runningKey: VirtualKey? { running?.call.key ?? keyAtOnce.flatMap { VirtualKey($0) } }

    private func pause() {
        running?.instructionsLeft = runner.instructionsLeft
        running?.pausedNanoseconds = configuration.environment.uptimeNanoseconds
        figures.moved += 1
    }

    /// Makes last what a method did to its object, which is live there.
    @inline(__always)
    private func settle(_ method: ReadyMethod, at position: @autoclosure () -> Int?) throws(Failure) {
        guard method.changes else { return }
        try runner.commit()
        if let expiry = scope.takeExpiry(), let at = position() { objects.setExpiry(at: at, expiry) }
        if method.isIndexed, let at = position() { indexes.update(at: at) }
    }

    /// Leaves the object as it was before the call.
    @inline(never)
    private func undo(_ failure: Failure) {
        note(failure)
        runner.undo()
    }

    /// Of a method that failed in itself; who asked for what there isn't, or too late, knows it.
    @inline(never)
    private func tell(_ failure: Failure, of key: VirtualKey) {
        switch failure.reason {
        case .scriptError, .budgetExceeded, .wrongType:
            configuration.errors.note(
                "\(key.type):\(key.method)", object: ObjectKey(type: key.type, name: key.object).displayName, failure)
        default: break
        }
    }

    private func note(_ failure: Failure) {
        guard failure.reason != .miss else { return }
        figures.failures += 1
        figures.instructionsMost = max(
            figures.instructionsMost, configuration.instructionsMax - runner.instructionsLeft)
    }

    static func noSuchObject(_ key: ObjectKey) -> Failure {
        Failure(.miss, "there is no \(key.type) '\(key.displayName)'; make it with \(key.type):new:\(key.displayName)")
    }
}
