// Memcached's binary protocol as data: what is sent to an empty server and what must come back. As memcached 1.6.45 answers.

struct BinaryExchange: Sendable {
    let name: String
    let send: [BinaryPacket]
    let expect: [BinaryPacket]
    /// The server closes the connection after this.
    let closes: Bool

    init(_ name: String, _ send: [BinaryPacket], _ expect: [BinaryPacket], closes: Bool = false) {
        self.name = name
        self.send = send
        self.expect = expect
        self.closes = closes
    }
}

enum BinaryWire {
    static var all: [BinaryExchange] { retrieval + storage + uniques + counters + others + quiet + refusals }

    private static let key250 = String(repeating: "k", count: 250)
    private static let thirtyDaysOn = BinaryPacket.big(UInt32(100))

    static let retrieval: [BinaryExchange] = [
        BinaryExchange("a miss, its opaque repeated", [.ask(0x00, "a", opaque: 7)], [.error(0x00, 1, opaque: 7)]),
        BinaryExchange(
            "a hit, with its flags and its unique",
            [.set("a", "abc", flags: 0x0102_0304, opaque: 0xDEAD_BEEF), .ask(0x00, "a", opaque: 9)],
            [
                .answer(0x01, opaque: 0xDEAD_BEEF, unique: 1),
                .value("abc", flags: 0x0102_0304, opaque: 9, unique: 1),
            ]),
        BinaryExchange(
            "an empty value", [.set("a", ""), .ask(0x00, "a")], [.answer(0x01, unique: 1), .value("", unique: 1)]),
        BinaryExchange(
            "getk answers the key, of a miss too", [.set("a", "1"), .ask(0x0C, "a"), .ask(0x0C, "none", opaque: 3)],
            [
                .answer(0x01, unique: 1), .value("1", opcode: 0x0C, key: "a", unique: 1),
                .answer(0x0C, "none", opaque: 3, status: 1),
            ]),
        BinaryExchange(
            "getq and getkq say nothing of a miss, and noop says that all is answered",
            [
                .set("a", "1"), .ask(0x09, "none"), .ask(0x09, "a", opaque: 1), .ask(0x0D, "none"),
                .ask(0x0D, "a", opaque: 2), .ask(0x0A, opaque: 3),
            ],
            [
                .answer(0x01, unique: 1), .value("1", opcode: 0x09, opaque: 1, unique: 1),
                .value("1", opcode: 0x0D, key: "a", opaque: 2, unique: 1), .answer(0x0A, opaque: 3),
            ]),
        BinaryExchange(
            "a key of any bytes", [.set("a b\r\n\u{0}", "1"), .ask(0x0C, "a b\r\n\u{0}")],
            [.answer(0x01, unique: 1), .value("1", opcode: 0x0C, key: "a b\r\n\u{0}", unique: 1)]),
        BinaryExchange(
            "the longest key", [.set(key250, "2"), .ask(0x00, key250)],
            [.answer(0x01, unique: 1), .value("2", unique: 1)]),
        BinaryExchange(
            "touch answers the flags, gat and gatk the value",
            [
                .set("a", "1", flags: 5), .ask(0x1C, "a", extras: thirtyDaysOn), .ask(0x1D, "a", extras: thirtyDaysOn),
                .ask(0x23, "a", extras: thirtyDaysOn), .ask(0x1C, "none", extras: thirtyDaysOn),
                .ask(0x1D, "none", extras: thirtyDaysOn), .ask(0x23, "none", extras: thirtyDaysOn),
                .ask(0x1E, "none", extras: thirtyDaysOn), .ask(0x24, "none", extras: thirtyDaysOn),
                .ask(0x1E, "a", extras: thirtyDaysOn), .ask(0x24, "a", extras: thirtyDaysOn),
            ],
            [
                .answer(0x01, unique: 1), .value("", opcode: 0x1C, flags: 5, unique: 1),
                .value("1", opcode: 0x1D, flags: 5, unique: 1),
                .value("1", opcode: 0x23, key: "a", flags: 5, unique: 1), .error(0x1C, 1), .error(0x1D, 1),
                .answer(0x23, "none", status: 1), .value("1", opcode: 0x1E, flags: 5, unique: 1),
                .value("1", opcode: 0x24, key: "a", flags: 5, unique: 1),
            ]),
        BinaryExchange(
            "twenty gets with misses among them: more than are looked ahead for",
            [.set("a", "1")] + (0..<20).map { .ask(0x00, $0 % 3 == 0 ? "none" : "a", opaque: $0) },
            [.answer(0x01, unique: 1)]
                + (0..<20).map {
                    $0 % 3 == 0 ? .error(0x00, 1, opaque: $0) : .value("1", opaque: $0, unique: 1)
                }),
    ]

    static let storage: [BinaryExchange] = [
        BinaryExchange(
            "add and replace",
            [
                .set("a", "1", opcode: 0x03), .set("a", "2", opcode: 0x02), .set("a", "3", opcode: 0x02),
                .set("a", "4", opcode: 0x03), .ask(0x00, "a"),
            ],
            [
                .error(0x03, 1), .answer(0x02, unique: 1), .error(0x02, 2), .answer(0x03, unique: 2),
                .value("4", unique: 2),
            ]),
        BinaryExchange(
            "append and prepend",
            [
                .ask(0x0E, "a", value: "x"), .ask(0x0F, "a", value: "x"), .set("a", "b", flags: 3),
                .ask(0x0E, "a", value: "c"), .ask(0x0F, "a", value: "a"), .ask(0x00, "a"),
            ],
            [
                .error(0x0E, 5), .error(0x0F, 5), .answer(0x01, unique: 1), .answer(0x0E, unique: 2),
                .answer(0x0F, unique: 3), .value("abc", flags: 3, unique: 3),
            ]),
        BinaryExchange(
            "a value larger than any item is passed over, and the old one goes",
            [
                .set("a", "1"), .set("a", String(repeating: "x", count: 2 << 20)), .ask(0x00, "a"),
                .set("b", "1"), .ask(0x0E, "b", value: String(repeating: "x", count: 2 << 20)), .ask(0x00, "b"),
            ],
            [
                .answer(0x01, unique: 1), .error(0x01, 3), .error(0x00, 1), .answer(0x01, unique: 2),
                .error(0x0E, 3), .value("1", unique: 2),
            ]),
        BinaryExchange(
            "one that is too large only with its key", [.set("a", String(repeating: "x", count: 1 << 20))],
            [.error(0x01, 3)]),
    ]

    static let uniques: [BinaryExchange] = [
        BinaryExchange(
            "a set with a unique is a cas",
            [
                .set("a", "1", unique: 5), .set("a", "1"), .set("a", "2", unique: 9), .set("a", "3", unique: 1),
                .set("a", "4", opcode: 0x03, unique: 9), .set("a", "5", opcode: 0x03, unique: 2), .ask(0x00, "a"),
            ],
            [
                .error(0x01, 1), .answer(0x01, unique: 1), .error(0x01, 2), .answer(0x01, unique: 2), .error(0x03, 2),
                .answer(0x03, unique: 3), .value("5", unique: 3),
            ]),
        BinaryExchange(
            "append, delete and increment with a unique",
            [
                .set("a", "1"), .ask(0x0E, "a", value: "0", unique: 7), .ask(0x0E, "a", value: "0", unique: 1),
                .count("a", 1, unique: 7), .count("a", 1, unique: 2), .ask(0x04, "a", unique: 7),
                .ask(0x04, "a", unique: 3), .ask(0x00, "a"),
            ],
            [
                .answer(0x01, unique: 1), .error(0x0E, 2), .answer(0x0E, unique: 2), .error(0x05, 2),
                .number(11, unique: 3), .error(0x04, 2), .answer(0x04), .error(0x00, 1),
            ]),
    ]

    static let counters: [BinaryExchange] = [
        BinaryExchange(
            "a counter that is not there is not made where its expiry says so",
            [.count("n", 1, initial: 5), .count("n", 1, opcode: 0x06)], [.error(0x05, 1), .error(0x06, 1)]),
        BinaryExchange(
            "or begins with its initial value, as text",
            [.count("n", 1, initial: 5, exptime: 0), .count("n", 3), .ask(0x00, "n")],
            [.number(5, unique: 1), .number(8, unique: 2), .value("8", unique: 2)]),
        BinaryExchange(
            "a decrement stops at 0, an increment goes on from there",
            [
                .count("n", 1, initial: .max, exptime: 0), .count("n", 2), .count("n", 5, opcode: 0x06),
                .set("m", "x"), .count("m", 1), .count("m", 1, opcode: 0x06),
            ],
            [
                .number(.max, unique: 1), .number(1, unique: 2), .number(0, opcode: 0x06, unique: 3),
                .answer(0x01, unique: 4), .error(0x05, 6), .error(0x06, 6),
            ]),
    ]

    static let others: [BinaryExchange] = [
        BinaryExchange(
            "delete", [.set("a", "1"), .ask(0x04, "a"), .ask(0x04, "a")],
            [.answer(0x01, unique: 1), .answer(0x04), .error(0x04, 1)]),
        BinaryExchange(
            "flush, with a time and without",
            [
                .set("a", "1"), .ask(0x08), .ask(0x00, "a"), .set("b", "2"), .ask(0x08, extras: [0, 0, 0, 0]),
                .ask(0x00, "b"), .set("c", "3"), .ask(0x08, extras: [0, 0, 0, 9]), .ask(0x00, "c"),
            ],
            [
                .answer(0x01, unique: 1), .answer(0x08), .error(0x00, 1), .answer(0x01, unique: 2), .answer(0x08),
                .error(0x00, 1), .answer(0x01, unique: 3), .answer(0x08), .value("3", unique: 3),
            ]),
        BinaryExchange(
            "noop and version", [.ask(0x0A, opaque: 5), .ask(0x0B)],
            [.answer(0x0A, opaque: 5), .answer(0x0B, value: "1.6.45")]),
        BinaryExchange("quit", [.ask(0x07, opaque: 1), .ask(0x0A)], [.answer(0x07, opaque: 1)], closes: true),
        BinaryExchange("quitq", [.ask(0x17), .ask(0x0A)], [], closes: true),
        BinaryExchange(
            "stats of what there is not, and what is no list",
            [.ask(0x10, "nothing"), .ask(0x10, "detail on"), .ask(0x10, "detail"), .ask(0x10, "reset")],
            [.error(0x10, 1), .answer(0x10), .error(0x10, 1), .answer(0x10)]),
        BinaryExchange(
            "stats of a list that is short: a packet each, and an empty one at the end",
            [.ask(0x10, "sizes", opaque: 4)],
            [.answer(0x10, "sizes_status", value: "disabled", opaque: 4), .answer(0x10, opaque: 4)]),
        BinaryExchange(
            "an unknown opcode is passed over with its body, the connection goes on",
            [.ask(0x50, "a", extras: [1, 2], value: "abc", opaque: 1), .ask(0x1B, extras: [0, 0, 0, 0]), .ask(0x0A)],
            [.error(0x50, 0x81, opaque: 1), .error(0x1B, 0x81), .answer(0x0A)]),
        BinaryExchange(
            "nobody has to log in, so nobody can", [.ask(0x20), .ask(0x21, "PLAIN", value: "\0a\0b"), .ask(0x0A)],
            [.error(0x20, 0x81), .error(0x21, 0x81), .answer(0x0A)]),
        BinaryExchange(
            "a virtual key is called by get and by set",
            [
                .ask(0x00, "map:new:m"), .set("map:put:m:k", "v"), .ask(0x0C, "map:get:m:k"), .ask(0x09, "map:get:m:k"),
                .ask(0x00, "map:get:none:k"), .set("map:put:none:k", "v"), .set("map:put:m:j", "w", opcode: 0x11),
                .ask(0x00, "map:get:m:j"),
            ],
            [
                .value("CREATED"), .answer(0x01), .value("k : v", opcode: 0x0C, key: "map:get:m:k"),
                .value("k : v", opcode: 0x09), .value("ERROR_CACHE_MISS"), .error(0x01, 5), .value("j : w"),
            ]),
        BinaryExchange(
            "a method that fails says why, but to a quiet get",
            [.ask(0x00, "map:new:m"), .ask(0x00, "map:nothing:m"), .ask(0x0D, "map:nothing:m"), .ask(0x0A)],
            [
                .value("CREATED"),
                .answer(
                    0x00,
                    value:
                        "script_error the type map has no method 'nothing'; there are add, count, create, delete, drop, "
                        + "expire, get, getall, getkeys, getvalues, new, put, ttl", status: 5),
                .answer(0x0A),
            ]),
    ]

    static let quiet: [BinaryExchange] = [
        BinaryExchange(
            "what goes well says nothing",
            [
                .set("a", "1", opcode: 0x11), .set("b", "2", opcode: 0x12), .set("a", "3", opcode: 0x13),
                .ask(0x19, "a", value: "4"), .ask(0x1A, "a", value: "2"), .count("a", 1, opcode: 0x15),
                .count("a", 2, opcode: 0x16), .ask(0x14, "b"), .ask(0x0C, "a"), .ask(0x0C, "b"), .ask(0x18),
                .ask(0x00, "a"),
            ],
            [.value("233", opcode: 0x0C, key: "a", unique: 7), .answer(0x0C, "b", status: 1), .error(0x00, 1)]),
        BinaryExchange(
            "what goes wrong is told",
            [
                .set("a", "1", opcode: 0x13), .ask(0x19, "a", value: "4"), .ask(0x1A, "a", value: "4"),
                .count("a", 1, opcode: 0x15), .count("a", 1, opcode: 0x16), .ask(0x14, "a"), .set("a", "x"),
                .set("a", "1", opcode: 0x12), .set("a", "1", opcode: 0x11, unique: 9), .count("a", 1, opcode: 0x15),
                .set("a", String(repeating: "x", count: 2 << 20), opcode: 0x11),
            ],
            [
                .error(0x13, 1), .error(0x19, 5), .error(0x1A, 5), .error(0x15, 1), .error(0x16, 1), .error(0x14, 1),
                .answer(0x01, unique: 1), .error(0x12, 2), .error(0x11, 2), .error(0x15, 6), .error(0x11, 3),
            ]),
    ]

    /// Each of these ends the connection: what comes behind could be anything.
    static let refusals: [BinaryExchange] =
        [
            ("a get without a key", .ask(0x00)), ("a get with extras", .ask(0x00, "a", extras: [1, 2, 3, 4])),
            ("a get with a value", .ask(0x00, "a", value: "v")), ("a set without extras", .ask(0x01, "a", value: "v")),
            ("a set without a key", .set("", "v")), ("an append with extras", .ask(0x0E, "a", extras: [0], value: "v")),
            ("a delete with extras", .ask(0x04, "a", extras: [0, 0, 0, 0])),
            ("a delete with a value", .ask(0x04, "a", value: "x")),
            ("an increment with too little", .ask(0x05, "a", extras: [0, 0, 0, 0])),
            ("a touch without a time", .ask(0x1C, "a")), ("a flush with a key", .ask(0x08, "a")),
            ("a flush with half a time", .ask(0x08, extras: [0, 0])), ("a noop with a body", .ask(0x0A, value: "x")),
            ("a version with a key", .ask(0x0B, "a")), ("a quit with a key", .ask(0x07, "a")),
            ("stats with extras", .ask(0x10, extras: [1])), ("a key that is too long", .ask(0x00, key250 + "k")),
            ("a login without a mechanism", .ask(0x21, value: "x")),
            ("a noop with a body of 4 GiB", lying(.ask(0x0A), body: .max)),
        ].map { (name: String, packet: BinaryPacket) in
            BinaryExchange(name, [packet, .ask(0x0A)], [.error(packet.opcode, 4)], closes: true)
        } + [
            BinaryExchange(
                "a key that is longer than the body", [lying(.ask(0x00, "abc"), body: 2), .ask(0x0A)],
                [.error(0x00, 0x81)], closes: true),
            BinaryExchange(
                "extras that are longer than the body", [lying(.ask(0x01, "a"), body: 4, extras: 8), .ask(0x0A)],
                [.error(0x01, 0x81)], closes: true),
            BinaryExchange(
                "another magic byte behind the first request", [.ask(0x0A), magic(0x67), .ask(0x0A)], [.answer(0x0A)],
                closes: true),
        ]

    private static func lying(_ packet: BinaryPacket, body: UInt32, extras: UInt8? = nil) -> BinaryPacket {
        var packet = packet
        (packet.bodyLength, packet.extrasLength) = (body, extras)
        return packet
    }

    private static func magic(_ byte: UInt8) -> BinaryPacket {
        var packet = BinaryPacket.ask(0x0A)
        packet.magic = byte
        return packet
    }
}
