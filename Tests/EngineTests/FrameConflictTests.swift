// Several frames of one name in a node's catalog: each is there by its id, and the name says that there are several.

import Engine
import Testing

@Suite struct FrameConflictTests {
    @Test("frames of one name are apart by their ids; the name answers a conflict until one is left")
    func several() throws {
        let catalog = FrameCatalog(shardCount: 2)
        let (ints, texts) = (try FrameSchema(parsing: "a:int"), try FrameSchema(parsing: "b:string"))
        let first = try catalog.create("f", id: "1.1", schema: ints)
        #expect(try catalog.require("f") === first && catalog.find("f") === first)
        #expect(try catalog.create("f", id: "1.1", schema: ints) === first)
        let second = try catalog.create("f", id: "2.1", schema: texts)
        #expect(second !== first && catalog.find("f") == nil && catalog.frames.count == 2)
        #expect(catalog.find("f", id: "1.1") === first && catalog.find("f", id: "2.1") === second)
        #expect(throws: Failure.self) { try catalog.create("f", schema: ints) }
        let plain = #expect(throws: Failure.self) { try catalog.require("f") }
        #expect(plain?.reason == .conflict)
        catalog.setConflicts(["f": Failure(.conflict, "both")])
        let told = #expect(throws: Failure.self) { try catalog.require("f") }
        #expect(told?.message == "both")
        catalog.setConflicts([:])
        let load = try catalog.beginLoad(7, into: first)
        #expect(catalog.drop("f", id: "1.1") && !catalog.drop("f", id: "1.1"))
        #expect(first.isDropped && !second.isDropped)
        #expect(throws: Failure.self) { try load.commit() }
        #expect(throws: Failure.self) { try catalog.load(7) }
        #expect(try catalog.require("f") === second)
        #expect(catalog.drop("f") && catalog.frames.isEmpty)
        let missing = #expect(throws: Failure.self) { try catalog.require("f") }
        #expect(missing?.reason == .miss)
    }
}
