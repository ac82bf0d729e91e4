// Waiting for sockets: epoll, and an eventfd to be woken by other threads.
//
// Unsafe: system calls on raw descriptors.

import CLinux
import Glibc

/// What a descriptor is ready for, or is to be watched for.
struct Readiness: OptionSet {
    let rawValue: UInt32

    static let readable = Readiness(rawValue: 0x001)
    static let writable = Readiness(rawValue: 0x004)
    /// Always told, whether it is watched for or not: the connection failed, or both its directions are closed.
    static let failed = Readiness(rawValue: 0x008)
    static let hungUp = Readiness(rawValue: 0x010)
    /// The other side sends no more.
    static let inputEnded = Readiness(rawValue: 0x2000)
    /// Told once when it comes about, not for as long as it lasts: half the kernel's work.
    static let once = Readiness(rawValue: 1 << 31)
}

/// One thread waits; `wake` may be called from any other.
struct EventPoll: ~Copyable {
    private static let eventsMax = 256

    private let poll: Int32
    /// Ready after `wake`.
    let alarm: Int32
    private let events: UnsafeMutablePointer<epoll_event>

    init() {
        poll = epoll_create1(Int32(EPOLL_CLOEXEC))
        alarm = linux_alarm()
        precondition(
            poll >= 0 && alarm >= 0, "no descriptors are left for an event loop: raise the limit of open files")
        events = .allocate(capacity: Self.eventsMax)
        events.initialize(repeating: epoll_event(), count: Self.eventsMax)
        _ = watch(alarm, .readable, operation: EPOLL_CTL_ADD)
    }

    deinit {
        close(poll)
        close(alarm)
        events.deallocate()
    }

    /// Starts to watch a descriptor; false where the kernel has no room for it.
    func add(_ descriptor: Int32, _ readiness: Readiness) -> Bool {
        watch(descriptor, readiness, operation: EPOLL_CTL_ADD)
    }

    func change(_ descriptor: Int32, _ readiness: Readiness) {
        _ = watch(descriptor, readiness, operation: EPOLL_CTL_MOD)
    }

    func remove(_ descriptor: Int32) { _ = watch(descriptor, [], operation: EPOLL_CTL_DEL) }

    private func watch(_ descriptor: Int32, _ readiness: Readiness, operation: Int32) -> Bool {
        var event = epoll_event()
        event.events = readiness.rawValue
        event.data.fd = descriptor
        return epoll_ctl(poll, operation, descriptor, &event) == 0
    }

    /// Waits until something is ready or `milliseconds` have passed (-1: for ever); returns how many `event`s there are.
    func wait(milliseconds: Int32) -> Int {
        max(0, Int(epoll_wait(poll, events, Int32(Self.eventsMax), milliseconds)))
    }

    /// One of the events of the last `wait`; that of `alarm` only says that `wake` was called.
    func event(_ at: Int) -> (descriptor: Int32, readiness: Readiness) {
        (events[at].data.fd, Readiness(rawValue: events[at].events))
    }

    /// After `alarm` was ready, and before looking at what was left by whoever called `wake`.
    func silence() {
        var value: UInt64 = 0
        _ = read(alarm, &value, 8)
    }

    func wake() {
        var one: UInt64 = 1
        _ = write(alarm, &one, 8)
    }
}
