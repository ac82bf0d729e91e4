// memcached's rules about when an item is over.

import Engine
import Testing

@Suite struct ExpiryTests {
    @Test(
        "what a client asks for: never, at once, from now on up to thirty days, an instant beyond",
        arguments: [
            (0, 0), (-1, 1), (Int64.min, 1), (1, 1_001), (2_592_000, 2_593_000), (2_592_001, 2_592_001),
            (4_294_967_295, .max), (4_294_967_296, .max), (.max, .max),
        ] as [(Int64, UInt32)])
    func asked(exptime: Int64, stored: UInt32) { #expect(Expiry(exptime: exptime, now: 1_000).stored == stored) }

    @Test("it is over as soon as its second has come, and never means never")
    func over() {
        let expiry = Expiry(seconds: 10, after: 1_000)
        #expect(!expiry.isOver(at: 1_009) && expiry.isOver(at: 1_010) && expiry.isOver(at: .max))
        #expect(expiry.remaining(at: 1_004) == 6 && expiry.remaining(at: 1_015) == -5)
        #expect(!Expiry.never.isOver(at: .max) && Expiry.never.remaining(at: 5) == nil)
        #expect(Expiry.over.isOver(at: 1) && Expiry.over.order < expiry.order && expiry.order < Expiry.never.order)
    }

    @Test("a time beyond what can be stored is the last that can")
    func far() {
        #expect(Expiry(seconds: .max, after: 1_000).stored == .max)
        #expect(Expiry(exptime: 100, now: .max).stored == .max)
    }
}
