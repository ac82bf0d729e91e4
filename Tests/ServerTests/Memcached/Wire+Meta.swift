// The meta protocol as data: what is sent to an empty server and what must come back, byte for byte.
// Compared with memcached 1.6.18, and for E, x, N of append and s of ms with its later protocol.txt.

extension Wire {
    static var meta: [Exchange] { metaGet + metaSet + metaDelete + metaArithmetic + metaKeys + metaErrors }

    static let opaque32 = String(repeating: "o", count: 31)
    static let invalidOrDuplicate = "CLIENT_ERROR invalid or duplicate flag\r\n"
    static let badToken = "CLIENT_ERROR bad token in command line format\r\n"

    static let metaGet: [Exchange] = [
        Exchange("mg of nothing", "mg a v\r\nmg a\r\nmg a v q\r\nmn\r\n", "EN\r\nEN\r\nMN\r\n"),
        Exchange("a miss repeats key and opaque", "mg a s v k Oabc\r\nmg a O\r\n", "EN ka Oabc\r\nEN O\r\n"),
        Exchange(
            "mg answers what it is asked, in that order",
            "ms a 2 F5 E77\r\nhi\r\nmg a s v k Oabc t f h l c\r\nmg a c t\r\nmg a\r\n",
            "HD\r\nVA 2 s2 ka Oabc t-1 f5 h0 l0 c77\r\nhi\r\nHD c77 t-1\r\nHD\r\n"),
        Exchange("blanks between flags", "ms  a  2  \r\nhi\r\n mg  a  v  \r\n", "HD\r\nVA 2\r\nhi\r\n"),
        Exchange(
            "quiet mode shows hits and hides misses", "ms a 1\r\n1\r\nmg b v q\r\nmg a v q k\r\nmg a q\r\nmn\r\n",
            "HD\r\nVA 1 ka\r\n1\r\nHD\r\nMN\r\n"),
        Exchange(
            "h tells of reads before, u leaves none",
            "ms a 1\r\n1\r\nmg a h u\r\nmg a h\r\nmg a h\r\nset a 0 0 1\r\n2\r\nmg a h u\r\nget a\r\nmg a h\r\n",
            "HD\r\nHD h0\r\nHD h0\r\nHD h1\r\nSTORED\r\nHD h0\r\nVALUE a 0 1\r\n2\r\nEND\r\nHD h1\r\n"),
        Exchange(
            "T touches, and t before it tells the time there was",
            "ms a 1 T30\r\n1\r\nmg a t T60\r\nmg a T90 t\r\nmg a t\r\nmg a T-1\r\nmg a v\r\n",
            "HD\r\nHD t30\r\nHD t90\r\nHD t90\r\nHD\r\nEN\r\n"),
        Exchange(
            "N creates an empty item, which one client wins",
            "mg a N30 v t s f h E5 c\r\nmg a v N30 c\r\nget a\r\nms a 1 T0\r\n1\r\nmg a v N30\r\n",
            "VA 0 t30 s0 f0 h0 c5 W\r\n\r\nVA 0 c5 Z\r\n\r\nVALUE a 0 0\r\n\r\nEND\r\nHD\r\nVA 1\r\n1\r\n"),
        Exchange("N, then T", "mg a N30 T60 t\r\nmg b T60 N30 t\r\n", "HD t60 W\r\nHD t30 W\r\n"),
        Exchange(
            "R lets one client win an item near its end",
            "ms a 1 T20\r\n1\r\nmg a v R10\r\nmg a R30 t\r\nmg a R30\r\nmg a R10\r\nms b 1\r\n1\r\nmg b R30\r\n",
            "HD\r\nVA 1\r\n1\r\nHD t20 W\r\nHD Z\r\nHD Z\r\nHD\r\nHD\r\n"),
        Exchange(
            "R after T looks at T's time, R before T at the old one",
            "ms a 1\r\n1\r\nmg a R50 T20\r\nms a 1\r\n1\r\nmg a T20 R50\r\nmg b t N30 t\r\nmg c t N30\r\n",
            "HD\r\nHD\r\nHD\r\nHD W\r\nCLIENT_ERROR duplicate flag\r\nHD t-1 W\r\n"),
        Exchange(
            "C leaves out the value that the client has, and shows any other",
            "ms a 2 E40\r\nhi\r\nmg a C40 v\r\nmg a C41 v\r\nmg a s c C40 v k\r\nmg a v q C40\r\nset a 0 0 1\r\n1\r\n"
                + "mg a C40 v\r\nmg b C40 v\r\nmg a Cx v\r\n",
            "HD\r\nHD\r\nVA 2\r\nhi\r\nHD s2 c40 ka\r\nHD\r\nSTORED\r\nVA 1\r\n1\r\nEN\r\n" + badToken),
        Exchange("flags for proxies are passed over", "mg a P L\r\n", "EN\r\n"),
    ]

    static let metaSet: [Exchange] = [
        Exchange(
            "a key that is no base64 is refused with its block", "ms a 2 k O1 s b\r\nhi\r\n",
            "CLIENT_ERROR error decoding key\r\n"),
        Exchange("key, opaque, unique and size", "ms a 2 k O1 s E9 c\r\nhi\r\n", "HD ka O1 s2 c9\r\n"),
        Exchange("quiet sets, and their barrier", "ms a 1 q\r\n1\r\nms a 1 q ME\r\n2\r\nmn\r\n", "NS\r\nMN\r\n"),
        Exchange(
            "modes",
            "ms a 1 MR\r\n1\r\nms a 1 MA\r\n1\r\nms a 1 ME\r\n2\r\nms a 1 ME c\r\n3\r\nms a 1 MA s\r\n4\r\nms a 1 MP s\r\n1\r\n"
                + "mg a v\r\nms a 1 MR\r\n5\r\nms a 1 MS\r\n6\r\nmg a v\r\n",
            "NS\r\nNS\r\nHD\r\nNS c0\r\nHD s2\r\nHD s3\r\nVA 3\r\n124\r\nHD\r\nHD\r\nVA 1\r\n6\r\n"),
        Exchange(
            "N with append creates", "ms a 2 MA N30 T90\r\nhi\r\nmg a v t\r\nms a 2 MA N60\r\nhi\r\nmg a v t\r\n",
            "HD\r\nVA 2 t30\r\nhi\r\nHD\r\nVA 4 t30\r\nhihi\r\n"),
        Exchange(
            "C compares",
            "ms a 1 C1\r\n1\r\nms a 1 E100\r\n1\r\nms a 1 C99\r\n2\r\nms a 1 C0\r\n2\r\nms a 1 MA C99\r\n2\r\nms a 1 ME C99\r\n2\r\n"
                + "ms a 1 MR C99 k O9\r\n2\r\nms a 1 MA C100\r\n2\r\nms a 1 E7\r\n3\r\nms a 1 C7 E8 c\r\n4\r\nmg a v c\r\n",
            "NF\r\nHD\r\nEX\r\nEX\r\nEX\r\nNS\r\nEX ka O9\r\nHD\r\nHD\r\nHD c8\r\nVA 1 c8\r\n4\r\n"),
        Exchange(
            "uniques of all 64 bits",
            "ms a 1 E18446744073709551615 c\r\n1\r\ngets a\r\ncas a 0 0 1 18446744073709551615\r\n2\r\nget a\r\n"
                + "ms a 1 E4503599627370496 c\r\n1\r\nincr a 1\r\nmg a h f\r\n",
            "HD c18446744073709551615\r\nVALUE a 0 1 18446744073709551615\r\n1\r\nEND\r\nSTORED\r\nVALUE a 0 1\r\n2\r\nEND\r\n"
                + "HD c4503599627370496\r\n2\r\nHD h0 f0\r\n"),
        Exchange(
            "I lets a late writer store what is stale",
            "ms a 1 E100 T50\r\n1\r\nms a 1 I C99 T9 E101\r\n2\r\nmg a v t c\r\nmg a v\r\nms a 1 I C102\r\n3\r\nms a 1 I\r\n4\r\nmg a v\r\n",
            "HD\r\nHD\r\nVA 1 t50 c101 X W\r\n2\r\nVA 1 Z X\r\n2\r\nEX\r\nHD\r\nVA 1\r\n4\r\n"),
        Exchange(
            "a block of the wrong length", "ms a 1 q\r\nhi\r\nmn\r\nms a 4\r\nhi\r\nmn\r\n",
            "CLIENT_ERROR bad data chunk\r\n" + badFormat + "MN\r\nCLIENT_ERROR bad data chunk\r\n" + badFormat),
        Exchange(
            "one that is too large is swallowed, and nothing old is left",
            setA + "ms a 2000000 q ME\r\n" + String(repeating: "x", count: 2_000_000) + "\r\nmg a\r\n",
            tooLarge + "EN\r\n"),
        Exchange(
            "the block of a refused line is swallowed",
            "ms a 2 !\r\nmn\r\nms a 2 c c\r\nmn\r\nms a 2 MX\r\nmn\r\nms a 2 Tx\r\nmn\r\nms a 2 Fx\r\nmn\r\nms a 2 Cx\r\nmn\r\n"
                + "ms a 2 M\r\nmn\r\nms a 2 O\(opaque32)x\r\nmn\r\nms \(key251) 2\r\nmn\r\nmg a\r\n",
            "CLIENT_ERROR invalid flag\r\nCLIENT_ERROR duplicate flag\r\nCLIENT_ERROR invalid mode for ms M token\r\n"
                + badToken + badFormat + badToken + "CLIENT_ERROR incorrect length for M token\r\n"
                + "CLIENT_ERROR opaque token too long\r\n" + badFormat + "EN\r\n"),
        Exchange(
            "lengths that are none", "ms\r\nms a\r\nms a x\r\nms a -1\r\nms a v\r\n",
            String(repeating: badFormat, count: 5)),
        Exchange(
            "a set makes a stale item fresh", "ms a 1\r\n1\r\nmd a I\r\nms a 1\r\n2\r\nmg a v\r\n",
            "HD\r\nHD\r\nHD\r\nVA 1\r\n2\r\n"),
    ]

    static let metaDelete: [Exchange] = [
        Exchange("md", setA + "md a k O1\r\nmd a k O1\r\n", "HD ka O1\r\nNF ka O1\r\n"),
        Exchange("quiet deletes hide only what went well", setA + "md a q\r\nmd a q\r\nmn\r\n", "NF\r\nMN\r\n"),
        Exchange(
            "md compares", "ms a 1 E9\r\n1\r\nmd a C8\r\nmd a C0 q\r\nmd a C9\r\nmg a\r\n",
            "HD\r\nEX\r\nEX\r\nHD\r\nEN\r\n"),
        Exchange(
            "I makes stale: one reader wins, the value stays, a plain get sees nothing of it",
            "ms a 1 T90\r\n1\r\nmd a I T30 E7\r\nmg a v t c\r\nmg a v\r\nget a\r\nmd a I E8\r\nmg a c t\r\n",
            "HD\r\nHD\r\nVA 1 t30 c7 X W\r\n1\r\nVA 1 Z X\r\n1\r\nVALUE a 0 1\r\n1\r\nEND\r\nHD\r\nHD c8 t30 X W\r\n"),
        Exchange(
            "x leaves an empty item", "ms a 1 F5 T9 E6\r\n1\r\nmd a x\r\nmg a v f t c\r\nmd a x I E9\r\nmg a v c\r\n",
            "HD\r\nHD\r\nVA 0 f0 t-1 c6\r\n\r\nHD\r\nVA 0 c9 X W\r\n\r\n"),
        Exchange(
            "stale survives touch, and an append ends it",
            "ms a 1\r\n1\r\nmd a I\r\ntouch a 50\r\nmg a t\r\nmg a\r\nappend a 0 0 1\r\n2\r\nmg a v\r\n",
            "HD\r\nHD\r\nTOUCHED\r\nHD t50 X W\r\nHD Z X\r\nSTORED\r\nVA 2\r\n12\r\n"),
    ]

    static let metaArithmetic: [Exchange] = [
        Exchange("nothing to count", "ma a\r\nma a k O2 q\r\n", "NF\r\nNF ka O2\r\n"),
        Exchange(
            "up, down, wrap and stop",
            "ms n 2\r\n10\r\nma n\r\nma n v\r\nma n v D5 MD t k\r\nma n q v\r\nma n M- D100 v\r\n"
                + "ma n MI D18446744073709551615 v\r\nma n M+ v\r\nma n T30 t v\r\nma n t T60\r\n",
            "HD\r\nHD\r\nVA 2\r\n12\r\nVA 1 t-1 kn\r\n7\r\nVA 1\r\n0\r\nVA 20\r\n18446744073709551615\r\nVA 1\r\n0\r\n"
                + "VA 1 t30\r\n1\r\nHD t30\r\n"),
        Exchange(
            "N creates with J", "ma a N0 J13 v\r\nma a v t\r\nma b N30 q v t E5 c\r\nma b N30 q v\r\nmn\r\n",
            "VA 2\r\n13\r\nVA 2 t-1\r\n14\r\nVA 1 t30 c5\r\n0\r\nMN\r\n"),
        Exchange(
            "ma compares and sets uniques", "ms a 1 E5\r\n1\r\nma a C4\r\nma a C5 E6 c v\r\nma a C0 v\r\n",
            "HD\r\nEX\r\nVA 1 c6\r\n2\r\nVA 1\r\n3\r\n"),
        Exchange("values that are no number", "ms a 2\r\nhi\r\nma a\r\nma a q\r\n", "HD\r\n" + notNumeric + notNumeric),
        Exchange(
            "tokens that are none", "ma a Dx\r\nma a Jx\r\nma a MX\r\nma a M\r\nma a !\r\nma a q q\r\n",
            invalidOrDuplicate + invalidOrDuplicate + "CLIENT_ERROR invalid mode for ma M token\r\n"
                + invalidOrDuplicate
                + invalidOrDuplicate + invalidOrDuplicate),
    ]

    static let metaKeys: [Exchange] = [
        Exchange(
            "base64 keys", "ms Zm9v 2 b k\r\nhi\r\nget foo\r\nmg Zm9v b k v\r\nmg Zm9vbg== b k\r\nmd Zm9v b k\r\n",
            "HD kZm9v b\r\nVALUE foo 0 2\r\nhi\r\nEND\r\nVA 2 kZm9v b\r\nhi\r\nEN kZm9vbg== b\r\nHD kZm9v b\r\n"),
        Exchange(
            "base64 carries blanks, line ends and zeros",
            "ms AAogDQ== 1 b\r\n1\r\nmg AAogDQ== b v\r\nma AAogDQ== b v\r\n",
            "HD\r\nVA 1\r\n1\r\nVA 1\r\n2\r\n"),
        Exchange(
            "what is no base64", "mg Zm9 b\r\nmg !!! b v\r\nms !!! 2 b\r\nhi\r\nmd !!! b\r\nme !!! b\r\nmg ==== b\r\n",
            String(repeating: "CLIENT_ERROR error decoding key\r\n", count: 3) + invalidOrDuplicate + badFormat
                + "CLIENT_ERROR error decoding key\r\n"),
        Exchange(
            "me",
            "me\r\nme a\r\nms a 1 E5\r\n1\r\nme a\r\nms Zm9v 1 b T30 E6\r\n1\r\nget foo\r\nme Zm9v b\r\nme a x y\r\n",
            badFormat
                + "EN\r\nHD\r\nME a exp=-1 la=0 cas=5 fetch=no cls=1 size=24\r\nHD\r\nVALUE foo 0 1\r\n1\r\nEND\r\n"
                + "ME Zm9v exp=30 la=0 cas=6 fetch=yes cls=1 size=28\r\nME a exp=-1 la=0 cas=5 fetch=no cls=1 size=24\r\n"
        ),
    ]

    static let metaErrors: [Exchange] = [
        Exchange("no key", "mg\r\nmd\r\nma\r\nmg \r\n", badFormat + badFormat + badFormat + badFormat),
        Exchange(
            "a key too long", "mg \(key251)\r\nmd \(key251) q\r\nma \(key251)\r\nme \(key251)\r\n",
            badFormat + badFormat + badFormat + badFormat),
        Exchange("the longest key", "ms \(key250) 1\r\n1\r\nmg \(key250) k\r\n", "HD\r\nHD k\(key250)\r\n"),
        Exchange(
            "flags that are none, or come twice",
            "mg a S\r\nmg a !\r\nmg a v v\r\nmg a \u{e9}\r\nmd a !\r\nmd a q q\r\n",
            "CLIENT_ERROR invalid flag\r\nCLIENT_ERROR invalid flag\r\nCLIENT_ERROR duplicate flag\r\n"
                + "CLIENT_ERROR duplicate flag\r\n" + invalidOrDuplicate + invalidOrDuplicate),
        Exchange(
            "tokens that are none", "mg a Nx\r\nmg a Tx\r\nmg a Rx\r\nmg a T\r\nmg a Ex\r\nmg a E\r\n",
            String(repeating: badToken, count: 6)),
        Exchange(
            "opaques up to 32 bytes with their letter",
            "mg a O\(opaque32)\r\nmg a O\(opaque32)x\r\nmd a O\(opaque32)x\r\n",
            "EN O\(opaque32)\r\nCLIENT_ERROR opaque token too long\r\nCLIENT_ERROR opaque token too long\r\n"),
        Exchange(
            "more flags than there are", "mg a a b c d e f g h i j k l m n o p q r\r\n",
            "CLIENT_ERROR options flags are too long\r\n"),
        Exchange("unknown meta commands", "mx a\r\nm a\r\nmga a\r\n", "ERROR\r\nERROR\r\nERROR\r\n"),
        Exchange("mn takes what follows", "mn x y\r\n", "MN\r\n"),
    ]
}
