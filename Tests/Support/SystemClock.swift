// The system's clock, for tests of what runs in real time.

import Engine

extension Deadline {
    static func after(milliseconds: Int) -> Deadline { SystemEnvironment().deadline(afterMilliseconds: milliseconds) }

    var hasPassed: Bool { SystemEnvironment().hasPassed(self) }
}

func unixSeconds() -> UInt32 { SystemEnvironment().unixSeconds }
