// The short way of a call: from a key's bytes to the bytes of the answer, for methods of live objects that end at once. It
// makes no values, strings or arrays on the way. Unsafe: raw buffers and Lua's stack.

import CLua

/// A method of one version of the types, as the machine needs it for a call.
struct ReadyMethod {
    /// Registry reference; 0 where the method has to go the long way.
    var function: Int32 = 0
    var type: UInt32 = 0
    var view = CLUA_NO_VIEW
    var argumentsMin: Int32 = 0
    var argumentsMax: Int32 = 0
    /// It makes its object where that is not there, which is done the long way.
    var makes = false
    var changes = false
    /// Its type has an index.
    var isIndexed = false
}

extension ObjectMachine {
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

    /// Constructors, verbs that every type has and handlers of the low-level interface are not among them, nor types with
    /// variables that are watched.
    func readyMethods(of new: ObjectTypes) -> [ReadyMethod] {
        new.table.names.map { name in
            guard name.method != "new", new.lowLevel?.methods[name.type] == nil, let type = types[name.type],
                type.watched == nil, let method = type.methods[name.method]
            else { return ReadyMethod() }
            let isReadonly = type.readonly.contains(name.method)
            let isTrusted =
                BuiltInTypes.contains(hash: type.hash)
                && (isReadonly || BuiltInTypes.direct[name.type]?.contains(name.method) == true)
            let view = isTrusted ? CLUA_NO_VIEW : isReadonly ? CLUA_READONLY : CLUA_TRACKED
            let signature = type.signatures[name.method] ?? MethodSignature(isOpen: true)
            return ReadyMethod(
                function: method.index, type: number(ofType: name.type), view: view,
                argumentsMin: Int32(signature.argumentsMin), argumentsMax: Int32(signature.argumentsMax),
                makes: type.makers[name.method] != nil, changes: !isReadonly,
                isIndexed: !isReadonly && !type.indexes.isEmpty)
        }
    }

    /// Performs a method whose object is live. `answer` is called at most once, with what is good only while it runs.
    func startAtOnce(
        _ located: LocatedMethod, key: UnsafeRawBufferPointer, data: UnsafeRawBufferPointer?,
        sliceNanoseconds: UInt64, answer: (UnsafeRawBufferPointer) -> Void
    ) -> AtOnce {
        guard located.version == readyVersion else { return .declined }
        let method = ready[located.method]
        let nameEnd = located.nameEnd
        let name = UnsafeRawBufferPointer(rebasing: key[located.nameStart..<nameEnd])
        guard method.function != 0 else { return .declined }
        beginCall()
        guard
            let at = live.find(type: method.type, name: name, hash: located.nameHash)
                ?? bringBack(name, located, method),
            live[at].expiry == 0 || live[at].expiry > nowSeconds
        else {
            return missed(method, located, key, data)
        }
        useCount &+= 1
        live[at].lastUse = useCount
        keyAtOnce = key
        defer { keyAtOnce = nil }
        if method.changes {
            mayChange = true
            clua_journal_begin(state.main, live[at].reference)
        }
        let thread = methodThread()
        var results: Int32 = 0
        let status = resume(
            thread, method, live[at].reference, arguments: nameEnd < key.count ? key[(nameEnd + 1)...] : nil, data,
            sliceNanoseconds, &results)
        if status == LUA_YIELD {
            pause(key, data, changes: method.changes)
            return .paused
        }
        do throws(Failure) {
            guard status == LUA_OK else {
                throw status == Int32(CLUA_WRONG_ARGUMENTS)
                    ? wrongArguments(located, key, data) : state.popFailure(thread)
            }
            try finishAtOnce(thread, results, changes: method.changes, answer)
        } catch {
            return failed(error, changes: method.changes)
        }
        // What the method looked at may have moved the object in the table.
        if let expiryAsked, method.changes, let at = live.find(type: method.type, name: name, hash: located.nameHash) {
            live[at].expiry = expiryAsked
        }
        if method.isIndexed, let at = live.find(type: method.type, name: name, hash: located.nameHash) {
            reindex(at: at)
        }
        return .answered
    }

    /// There is no such object: what is wrong with the call all the same comes first.
    @inline(never)
    private func missed(
        _ method: ReadyMethod, _ located: LocatedMethod, _ key: UnsafeRawBufferPointer, _ data: UnsafeRawBufferPointer?
    ) -> AtOnce {
        let count = Self.argumentCount(located, key, data)
        guard count >= method.argumentsMin, count <= method.argumentsMax else {
            let failure = wrongArguments(located, key, data)
            noteFailure(failure)
            return .failed(failure)
        }
        return method.makes ? .declined : .missed
    }

    private static func argumentCount(
        _ located: LocatedMethod, _ key: UnsafeRawBufferPointer, _ data: UnsafeRawBufferPointer?
    ) -> Int {
        key[located.nameEnd...].count { $0 == UInt8(ascii: ":") } + (data == nil ? 0 : 1)
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

    /// An object's place, when it was on the shelf.
    @inline(never)
    private func bringBack(_ name: UnsafeRawBufferPointer, _ located: LocatedMethod, _ method: ReadyMethod) -> Int? {
        let key = ObjectKey(type: self.name(ofType: method.type), name: Array(name))
        guard let type = types[key.type], unshelve(key, type) != nil else { return nil }
        return live.find(type: method.type, name: name, hash: located.nameHash)
    }

    /// Starts to bring in the objects of these calls, as far as they are this shard's.
    func prefetch(_ methods: UnsafeBufferPointer<LocatedMethod>, shard: Int) {
        withUnsafeTemporaryAllocation(of: Int32.self, capacity: Int(CLUA_PREFETCH_MAX)) { references in
            for located in methods where located.shard == shard && located.version == readyVersion {
                live.prefetch(type: ready[located.method].type, hash: located.nameHash)
            }
            var count = 0
            for located in methods where located.shard == shard && located.version == readyVersion {
                let type = ready[located.method].type
                guard count < references.count, let reference = live.guess(type: type, hash: located.nameHash) else {
                    continue
                }
                references[count] = reference
                count &+= 1
            }
            clua_prefetch(state.main, references.baseAddress, Int32(count))
        }
    }

    @inline(__always)
    private func resume(
        _ thread: OpaquePointer, _ method: ReadyMethod, _ object: Int32, arguments: Slice<UnsafeRawBufferPointer>?,
        _ data: UnsafeRawBufferPointer?, _ sliceNanoseconds: UInt64, _ results: inout Int32
    ) -> Int32 {
        var call = clua_invocation()
        call.function = method.function
        call.object = object
        call.view = Int32(method.view)
        call.writesDirectly = method.changes && method.view == CLUA_NO_VIEW
        call.argumentsMin = method.argumentsMin
        call.argumentsMax = method.argumentsMax
        if let arguments {
            // Behind the last colon there may be nothing: an empty argument, whose address is of no matter.
            call.arguments = arguments.base.baseAddress.map {
                ($0 + arguments.startIndex).assumingMemoryBound(to: CChar.self)
            }
            call.argumentBytes = arguments.count
        }
        if let data, let start = data.baseAddress {
            call.data = start.assumingMemoryBound(to: CChar.self)
            call.dataBytes = data.count
        }
        call.instructionsMax = Int64(configuration.instructionsMax)
        call.methodNanoseconds = configuration.methodNanosecondsMax
        call.sliceNanoseconds = sliceNanoseconds
        return clua_call_method(thread, &call, &results)
    }

    /// Commits, answers, and leaves the coroutine empty.
    @inline(__always)
    private func finishAtOnce(
        _ thread: OpaquePointer, _ results: Int32, changes: Bool, _ answer: (UnsafeRawBufferPointer) -> Void
    ) throws(Failure) {
        if results != 1 {
            lua_settop(thread, min(results, 1))
            if results == 0 { lua_pushnil(thread) }
        }
        var count = 0
        if lua_type(thread, 1) == LUA_TSTRING, let text = lua_tolstring(thread, 1, &count),
            count < configuration.answerBytesMax - 9
        {
            if changes { try commitJournal() }
            answer(UnsafeRawBufferPointer(start: text, count: count))
        } else {
            let value = try state.readAnswer(thread, 1, bytesMax: configuration.answerBytesMax)
            if changes { try commitJournal() }
            if case .int(let number) = value, number >= 0 {
                withUnsafeTemporaryAllocation(byteCount: Decimal.digitsMax, alignment: 1) { digits in
                    let count = Decimal.write(UInt64(number), to: digits)
                    answer(UnsafeRawBufferPointer(rebasing: digits[..<count]))
                }
            } else {
                value.answer.withUnsafeBytes { answer($0) }
            }
        }
        lua_settop(thread, 0)
    }

    private func commitJournal() throws(Failure) {
        guard clua_journal_commit(state.main) == LUA_OK else { throw state.popFailure(state.main) }
    }

    @inline(never)
    private func failed(_ failure: Failure, changes: Bool) -> AtOnce {
        noteFailure(failure)
        if changes { clua_journal_undo(state.main) }
        dropThread()
        state.freeReleased()
        return .failed(failure)
    }

    /// From here on the call is one that came the long way, and is paused.
    @inline(never)
    private func pause(_ bytes: UnsafeRawBufferPointer, _ data: UnsafeRawBufferPointer?, changes: Bool) {
        guard let key = VirtualKey(bytes) else { preconditionFailure("a key that named a method is a virtual key") }
        let now = configuration.environment.uptimeNanoseconds
        running = Running(
            call: ObjectCall(
                key: key, data: data.map { Array($0) }, deadline: .never, completion: { _ in }),
            key: ObjectKey(type: key.type, name: key.object), kind: changes ? .change : .read,
            startedNanoseconds: now, deadlineNanoseconds: state.control.pointee.deadlineNanoseconds,
            instructionsLeft: Int(state.control.pointee.instructionsLeft), pausedNanoseconds: now)
        statistics.moved += 1
    }
}
