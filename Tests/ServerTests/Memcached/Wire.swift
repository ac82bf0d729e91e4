// The memcached protocol as data: what is sent to an empty server and what must come back, byte for byte.
// Compared with memcached 1.6.18 and what 1.6.45 has changed since; where we differ on purpose, `Wire.ours` says why.

struct Exchange: Sendable {
    let name: String
    let send: String
    let expect: String
    /// The server closes the connection after this.
    let closes: Bool

    /// The answer says how many seconds are left, which on a real clock may be one less.
    var tellsTime: Bool {
        expect.split { $0 == " " || $0.isNewline }.contains { word in
            word.hasPrefix("exp=30") || (word.hasPrefix("t") && word.dropFirst().first?.isNumber == true)
        }
    }

    init(_ name: String, _ send: String, _ expect: String, closes: Bool = false) {
        self.name = name
        self.send = send
        self.expect = expect
        self.closes = closes
    }
}

enum Wire {
    static let key250 = String(repeating: "k", count: 250)
    static let key251 = String(repeating: "k", count: 251)
    static let badFormat = "CLIENT_ERROR bad command line format\r\n"
    static let notNumeric = "CLIENT_ERROR cannot increment or decrement non-numeric value\r\n"
    static let tooLarge = "SERVER_ERROR object too large for cache\r\n"
    static let setA = "set a 0 0 1 noreply\r\n1\r\n"

    static var all: [Exchange] {
        retrieval + storage + casAndJoin + arithmetic + updates + administration + ours + meta
    }

    static let retrieval: [Exchange] = [
        Exchange("a miss", "get a\r\n", "END\r\n"),
        Exchange("a hit", "set a 5 0 3\r\nabc\r\nget a\r\n", "STORED\r\nVALUE a 5 3\r\nabc\r\nEND\r\n"),
        Exchange("an empty value", "set a 0 0 0\r\n\r\nget a\r\n", "STORED\r\nVALUE a 0 0\r\n\r\nEND\r\n"),
        Exchange(
            "several keys, in their order, misses left out",
            "set a 1 0 1\r\nA\r\nset b 2 0 2\r\nBB\r\nget b nope a b\r\n",
            "STORED\r\nSTORED\r\nVALUE b 2 2\r\nBB\r\nVALUE a 1 1\r\nA\r\nVALUE b 2 2\r\nBB\r\nEND\r\n"),
        Exchange(
            "blanks around and between keys", setA + " get  a   a  \r\n",
            "VALUE a 0 1\r\n1\r\nVALUE a 0 1\r\n1\r\nEND\r\n"),
        Exchange("a bare line feed ends a line too", setA + "get a\n", "VALUE a 0 1\r\n1\r\nEND\r\n"),
        Exchange(
            "a value of line ends", "set a 0 0 4\r\n\r\n\r\n\r\nget a\r\n",
            "STORED\r\nVALUE a 0 4\r\n\r\n\r\n\r\nEND\r\n"),
        Exchange(
            "no key", "get\r\nget \r\nget  \r\ngets\r\ngat\r\ngat 0\r\ngats 0 \r\n",
            String(repeating: badFormat, count: 7)),
        Exchange("verbs are lower case", "GET a\r\nsets a\r\n", "ERROR\r\nERROR\r\n"),
        Exchange(
            "the longest key", "set \(key250) 0 0 1\r\n1\r\nget \(key250)\r\n",
            "STORED\r\nVALUE \(key250) 0 1\r\n1\r\nEND\r\n"),
        Exchange(
            "a key too long, first or later, refuses the whole line",
            setA + "get \(key251)\r\nget a \(key251)\r\nget a \(key251) a\r\ngat 0 \(key251)\r\n",
            badFormat + badFormat + badFormat + badFormat),
        Exchange(
            "1,200 keys on a line", setA + "get " + String(repeating: "a ", count: 1200) + "\r\n",
            String(repeating: "VALUE a 0 1\r\n1\r\n", count: 1200) + "END\r\n"),
        Exchange(
            "gat answers and touches", "set a 3 0 1\r\n1\r\ngat 0 a nope\r\ngat -1 a\r\nget a\r\n",
            "STORED\r\nVALUE a 3 1\r\n1\r\nEND\r\nVALUE a 3 1\r\n1\r\nEND\r\nEND\r\n"),
        Exchange(
            "gat with no number", "gat x a\r\ngat abc\r\n", "CLIENT_ERROR invalid exptime argument\r\n" + badFormat),
    ]

    static let storage: [Exchange] = [
        Exchange(
            "set twice", "set a 0 0 1\r\n1\r\nset a 0 0 2\r\n22\r\nget a\r\n",
            "STORED\r\nSTORED\r\nVALUE a 0 2\r\n22\r\nEND\r\n"),
        Exchange("noreply", "set a 0 0 1 noreply\r\n1\r\nget a\r\n", "VALUE a 0 1\r\n1\r\nEND\r\n"),
        Exchange("a sixth word that is no noreply", "set a 0 0 1 foo\r\n1\r\n", "STORED\r\n"),
        Exchange("a seventh word", "set a 0 0 1 noreply x\r\n1\r\n", "STORED\r\n"),
        Exchange(
            "too few words", "set\r\nset a\r\nset a 0\r\nset a 0 0\r\nset a 0 noreply\r\n",
            String(repeating: badFormat, count: 5)),
        Exchange(
            "flags up to 32 bits", "set a 4294967295 0 1\r\n1\r\nget a\r\n",
            "STORED\r\nVALUE a 4294967295 1\r\n1\r\nEND\r\n"),
        Exchange(
            "flags that are no number: the block is skipped",
            "set a -1 0 1\r\n1\r\nset a x 0 4\r\nmn\r\n\r\nset a 1x 0 1\r\n1\r\nmn\r\n",
            String(repeating: badFormat, count: 3) + "MN\r\n"),
        Exchange("an exptime that is no number", "set a 0 x 1\r\n1\r\nmn\r\n", badFormat + "MN\r\n"),
        Exchange(
            "lengths that are none", "set a 0 0 x\r\nset a 0 0 -1\r\nset a 0 0 2147483647\r\nset a 0 0 1x\r\n",
            String(repeating: badFormat, count: 4)),
        Exchange("numbers with a plus", "set a +1 +0 +1\r\n1\r\nget a\r\n", "STORED\r\nVALUE a 1 1\r\n1\r\nEND\r\n"),
        Exchange("a key too long", "set \(key251) 0 0 1\r\n1\r\nmn\r\n", badFormat + "MN\r\n"),
        Exchange("noreply silences a refusal", "set a x 0 1 noreply\r\n1\r\nmn\r\n", "MN\r\n"),
        Exchange(
            "a block that is too long", setA + "set a 0 0 1\r\n123\r\nget a\r\n",
            "CLIENT_ERROR bad data chunk\r\n" + badFormat + "VALUE a 0 1\r\n1\r\nEND\r\n"),
        Exchange(
            "a block that is too short", "set a 0 0 5\r\n123\r\n567\r\nget a\r\n",
            "CLIENT_ERROR bad data chunk\r\n" + badFormat + "END\r\n"),
        Exchange("a bad block under noreply", "set a 0 0 1 noreply\r\n123mn\r\n", "MN\r\n"),
        Exchange("already over", "set a 0 -1 1\r\n1\r\nget a\r\n", "STORED\r\nEND\r\n"),
        Exchange("an absolute time of long ago", "set a 0 2592001 1\r\n1\r\nget a\r\n", "STORED\r\nEND\r\n"),
        Exchange(
            "a time far ahead", "set a 0 99999999999 1\r\n1\r\nget a\r\n", "STORED\r\nVALUE a 0 1\r\n1\r\nEND\r\n"),
        Exchange(
            "add and replace",
            "replace a 0 0 1\r\n1\r\nadd a 0 0 1\r\n2\r\nadd a 0 0 1\r\n3\r\nreplace a 7 0 1\r\n4\r\nget a\r\n",
            "NOT_STORED\r\nSTORED\r\nNOT_STORED\r\nSTORED\r\nVALUE a 7 1\r\n4\r\nEND\r\n"),
        Exchange(
            "a set that is too large is swallowed and removes the old value",
            setA + "set a 0 0 2000000\r\n" + String(repeating: "x", count: 2_000_000) + "\r\nget a\r\n",
            tooLarge + "END\r\n"),
        Exchange(
            "an add that is too large is swallowed and leaves the old value",
            setA + "add a 0 0 2000000\r\n" + String(repeating: "x", count: 2_000_000) + "\r\nget a\r\n",
            tooLarge + "VALUE a 0 1\r\n1\r\nEND\r\n"),
        Exchange(
            "a mebibyte with its key is too large for an item of a mebibyte",
            setA + "set a 0 0 1048576\r\n" + String(repeating: "x", count: 1_048_576) + "\r\nget a\r\n",
            tooLarge + "END\r\n"),
        Exchange(
            "too large under noreply",
            setA + "set a 0 0 2000000 noreply\r\n" + String(repeating: "x", count: 2_000_000) + "\r\nget a\r\n",
            "END\r\n"),
    ]

    static let casAndJoin: [Exchange] = [
        Exchange("cas of what is not there", "cas a 0 0 1 1\r\n1\r\n", "NOT_FOUND\r\n"),
        Exchange(
            "cas with a stale unique answers EXISTS", setA + "cas a 0 0 1 18446744073709551615\r\n2\r\nget a\r\n",
            "EXISTS\r\nVALUE a 0 1\r\n1\r\nEND\r\n"),
        Exchange(
            "cas without a unique, or with none",
            "cas\r\ncas a 0 0 1\r\n1\r\ncas a 0 0 2 \r\nmn\r\ncas a 0 0 1 x\r\n1\r\ncas a 0 0 1 -1\r\n1\r\n"
                + "cas a 0 0 1 noreply\r\n1\r\nmn\r\n",
            String(repeating: badFormat, count: 5) + "MN\r\n"),
        Exchange("cas noreply", "cas a 0 0 1 1 noreply\r\n1\r\nmn\r\n", "MN\r\n"),
        Exchange(
            "append and prepend keep the flags",
            "set a 7 0 1\r\n1\r\nappend a 9 0 1\r\n2\r\nprepend a 0 0 1\r\n0\r\nget a\r\n",
            "STORED\r\nSTORED\r\nSTORED\r\nVALUE a 7 3\r\n012\r\nEND\r\n"),
        Exchange(
            "append and prepend beyond the largest item leave it as it is",
            "set a 0 0 1048400\r\n" + String(repeating: "x", count: 1_048_400) + "\r\nappend a 0 0 1000\r\n"
                + String(repeating: "y", count: 1000) + "\r\nprepend a 0 0 1000\r\n"
                + String(repeating: "y", count: 1000) + "\r\nms a 1000 MA\r\n" + String(repeating: "y", count: 1000)
                + "\r\nmg a s\r\n",
            "STORED\r\nNOT_STORED\r\nNOT_STORED\r\nNS\r\nHD s1048400\r\n"),
        Exchange(
            "append and prepend to nothing", "append a 0 0 1\r\n1\r\nprepend a 0 0 1\r\n1\r\n",
            "NOT_STORED\r\nNOT_STORED\r\n"),
    ]

    static let arithmetic: [Exchange] = [
        Exchange(
            "incr and decr",
            "set a 0 0 2\r\n10\r\ndecr a 1\r\nget a\r\ndecr a 100\r\nincr a 5\r\nincr a 100\r\nget a\r\n",
            "STORED\r\n9\r\nVALUE a 0 2\r\n9 \r\nEND\r\n0\r\n5\r\n105\r\nVALUE a 0 3\r\n105\r\nEND\r\n"),
        Exchange(
            "incr wraps at 64 bits", "set a 0 0 20\r\n18446744073709551615\r\nincr a 2\r\nget a\r\n",
            "STORED\r\n1\r\nVALUE a 0 20\r\n1                   \r\nEND\r\n"),
        Exchange("nothing there", "incr a 1\r\ndecr a 1\r\n", "NOT_FOUND\r\nNOT_FOUND\r\n"),
        Exchange(
            "a delta that is none", setA + "incr a x\r\nincr a -1\r\ndecr a 18446744073709551616\r\n",
            String(repeating: "CLIENT_ERROR invalid numeric delta argument\r\n", count: 3)),
        Exchange(
            "values that are no number",
            "set a 0 0 3\r\nabc\r\nincr a 1\r\nset a 0 0 2\r\n-1\r\ndecr a 1\r\nset a 0 0 0\r\n\r\nincr a 1\r\n",
            "STORED\r\n" + notNumeric + "STORED\r\n" + notNumeric + "STORED\r\n" + notNumeric),
        Exchange(
            "words", "incr\r\nincr a\r\nincr a 1 2 3 4\r\n" + setA + "incr a 1 foo\r\nincr a 1 noreply\r\nincr a 0\r\n",
            badFormat + badFormat + "NOT_FOUND\r\n2\r\n3\r\n"),
        Exchange("a key too long", "incr \(key251) 1\r\n", badFormat),
        Exchange("noreply", setA + "incr a 1 noreply\r\nincr a x noreply\r\nmn\r\n", "MN\r\n"),
    ]

    static let updates: [Exchange] = [
        Exchange("delete", setA + "delete a\r\ndelete a\r\nget a\r\n", "DELETED\r\nNOT_FOUND\r\nEND\r\n"),
        Exchange(
            "delete with anything else",
            setA + "delete a 1\r\ndelete a a\r\ndelete a 0 0\r\ndelete a 0 noreply x\r\nmn\r\n",
            String(repeating: "CLIENT_ERROR bad command line format.  Usage: delete <key> [noreply]\r\n", count: 4)
                + "MN\r\n"),
        Exchange(
            "delete with a time of 0",
            setA + "delete a 0\r\n" + setA + "delete a 0 noreply\r\ndelete a noreply\r\nmn\r\n", "DELETED\r\nMN\r\n"),
        Exchange(
            "delete's words",
            "delete\r\n" + setA + "delete a b c d\r\ndelete a 1\r\ndelete \(key251)\r\ndelete a 3 noreply\r\nmn\r\n",
            badFormat
                + String(
                    repeating: "CLIENT_ERROR bad command line format.  Usage: delete <key> [noreply]\r\n", count: 2)
                + badFormat + "MN\r\n"),
        Exchange(
            "touch", setA + "touch a 0\r\ntouch a 100\r\nget a\r\ntouch a -1\r\nget a\r\ntouch a 0\r\n",
            "TOUCHED\r\nTOUCHED\r\nVALUE a 0 1\r\n1\r\nEND\r\nTOUCHED\r\nEND\r\nNOT_FOUND\r\n"),
        Exchange(
            "touch's words",
            "touch\r\ntouch a\r\ntouch a x\r\ntouch a 0 1 2\r\ntouch a 0 noreply\r\ntouch a x noreply\r\nmn\r\n",
            badFormat + badFormat + "CLIENT_ERROR invalid exptime argument\r\nNOT_FOUND\r\nMN\r\n"),
    ]

    static let administration: [Exchange] = [
        Exchange("version", "version\r\nversion x\r\n", "VERSION 1.6.45\r\nVERSION 1.6.45\r\n"),
        Exchange(
            "verbosity",
            "verbosity\r\nverbosity 1\r\nverbosity x\r\nverbosity 1 noreply\r\nverbosity noreply\r\nverbosity 1 2 3\r\nverbosity 1 2 3 4\r\nmn\r\n",
            "ERROR\r\nOK\r\n" + badFormat + "ERROR\r\nERROR\r\nMN\r\n"),
        Exchange(
            "flush_all", setA + "flush_all\r\nget a\r\n" + setA + "flush_all 0\r\nget a\r\n",
            "OK\r\nEND\r\nOK\r\nEND\r\n"),
        Exchange(
            "flush_all's words",
            "flush_all x\r\nflush_all -1\r\nflush_all noreply\r\nflush_all 0 noreply\r\nflush_all x noreply\r\n"
                + "flush_all 2147483648\r\nflush_all -2147483649\r\nflush_all 1000 2 3\r\nflush_all\r\nmn\r\n",
            "CLIENT_ERROR invalid exptime argument\r\nOK\r\nCLIENT_ERROR invalid exptime argument\r\n"
                + "CLIENT_ERROR invalid exptime argument\r\nOK\r\nOK\r\nMN\r\n"),
        Exchange(
            "a flush at an instant that has passed is one now; the last word counts",
            setA + "flush_all 2592001\r\nget a\r\n" + setA
                + "flush_all 2147483647\r\nflush_all 1\r\nflush_all 2592000\r\n"
                + "get a\r\nflush_all\r\n",
            "OK\r\nEND\r\nOK\r\nOK\r\nOK\r\nVALUE a 0 1\r\n1\r\nEND\r\nOK\r\n"),
        Exchange(
            "a flush to come leaves things for now", setA + "flush_all 1000\r\nget a\r\nflush_all\r\n",
            "OK\r\nVALUE a 0 1\r\n1\r\nEND\r\nOK\r\n"),
        Exchange("shutdown is off", "shutdown\r\n", "SERVER_ERROR: shutdown not enabled\r\n"),
        Exchange(
            "stats of nothing",
            "stats items\r\nstats sizes\r\nstats foo\r\nstats reset\r\nstats detail\r\nstats cachedump\r\n",
            "END\r\nSTAT sizes_status disabled\r\nEND\r\nERROR\r\nRESET\r\nCLIENT_ERROR usage: stats detail on|off|dump\r\nCLIENT_ERROR bad command line\r\n"
        ),
        Exchange(
            "unknown verbs and empty lines", "foo\r\n\r\n \r\nlru\r\nmnx\r\n\n \n  \r\nx\r\nxy\r\n",
            "ERROR\r\n" + badFormat + badFormat + "ERROR\r\nERROR\r\n" + badFormat + badFormat + "ERROR\r\n"
                + badFormat + "ERROR\r\n"),
        Exchange(
            "quit ends everything", setA + "get a\r\nquit\r\nget a\r\n", "VALUE a 0 1\r\n1\r\nEND\r\n", closes: true),
        Exchange("a line without end is no client's", "set " + String(repeating: "a", count: 2500), "", closes: true),
        Exchange("an HTTP request is no client's", "GET / HTTP/1.1\r\nmn\r\n", "", closes: true),
        Exchange(
            "nor is any unknown line that ends in its protocol", "mn\r\nfoo HTTP/\r\nmn\r\n", "MN\r\n", closes: true),
        Exchange(
            "memcached's tuning is accepted and changes nothing",
            "lru mode flat\r\nlru tune 10 25 0.1 2.0\r\nlru temp_ttl 0\r\nslabs automove 0\r\nlru_crawler disable\r\n"
                + "lru_crawler enable\r\nlru_crawler sleep 100\r\nlru_crawler tocrawl 5\r\nlru_crawler crawl 2\r\n"
                + "cache_memlimit 64\r\n",
            String(repeating: "OK\r\n", count: 10)),
        Exchange(
            "tuning that is malformed is refused",
            "lru\r\nlru tune\r\nlru x\r\nslabs\r\nslabs x\r\nslabs reassign\r\nslabs automove\r\nslabs automove x\r\n"
                + "lru_crawler\r\nlru_crawler sleep x\r\nlru_crawler crawl 999\r\nlru_crawler x\r\ncache_memlimit\r\n"
                + "cache_memlimit x\r\ncache_memlimit 1\r\n",
            String(repeating: "ERROR\r\n", count: 7) + badFormat + "ERROR\r\n" + badFormat
                + "BADCLASS invalid class id\r\nERROR\r\nERROR\r\nERROR\r\n"
                + "MEMLIMIT_TOO_SMALL cannot set maxbytes to less than 8m\r\n"),
        Exchange(
            "tuning out of range is refused",
            "slabs reassign 1 1\r\nslabs reassign 64 1\r\nslabs reassign x 1\r\nslabs automove 3\r\nlru mode x\r\n"
                + "lru tune 1 2 x 1\r\nlru tune 90 1 0.1 2\r\nlru temp_ttl x\r\nlru_crawler sleep 1000001\r\n"
                + "lru_crawler crawl 1,64\r\nlru_crawler crawl 2,3\r\n",
            "SAME src and dst class are identical\r\nBADCLASS invalid src or dst class id\r\n" + badFormat
                + "ERROR\r\nERROR\r\nERROR\r\nERROR hot and warm pcts must not exceed 80\r\nERROR\r\n"
                + "CLIENT_ERROR sleep must be one second or less\r\nBADCLASS invalid class id\r\nOK\r\n"),
        Exchange(
            "what would move slabs is refused in one line, and so is watching what there is not",
            "slabs reassign 1 2\r\nwatch nothing\r\n", "NOSPARE source class has no spare pages\r\nERROR\r\n"),
        Exchange(
            "the memory limit changes",
            "cache_memlimit 100\r\ncache_memlimit 64 noreply\r\ncache_memlimit 4294967295\r\ncache_memlimit 99999999999\r\n",
            "OK\r\nMEMLIMIT_ADJUST_FAILED input value is megabytes not bytes\r\nERROR\r\n"),
        Exchange(
            "the limit of the frames' memory changes",
            "frame_memlimit 100\r\nframe_memlimit 64 noreply\r\nframe_memlimit 0\r\nframe_memlimit 4294967295\r\n"
                + "frame_memlimit\r\nframe_memlimit x\r\n",
            "OK\r\nMEMLIMIT_TOO_SMALL frames have at least 1m\r\nMEMLIMIT_ADJUST_FAILED out of bounds or unable to adjust"
                + "\r\nERROR\r\nERROR\r\n"),
        Exchange(
            "searching for expired items can be forbidden",
            "lru_crawler disable\r\nlru_crawler crawl all\r\nlru_crawler metadump all\r\nlru_crawler enable\r\n"
                + "lru_crawler crawl 2\r\n",
            "OK\r\nCLIENT_ERROR lru crawler disabled\r\nCLIENT_ERROR lru crawler disabled\r\nOK\r\nOK\r\n"),
        Exchange(
            "lists of no keys",
            "lru_crawler metadump all\r\nlru_crawler metadump hash\r\nlru_crawler metadump 1\r\nlru_crawler mgdump all\r\n"
                + Self.setA + "lru_crawler metadump 2,63\r\nstats cachedump 63 0\r\n",
            "OK\r\nEND\r\nOK\r\nEND\r\nOK\r\nEND\r\nOK\r\nEN\r\nOK\r\nEND\r\nEND\r\n"),
        Exchange(
            "lists of keys that are malformed",
            "lru_crawler metadump\r\nlru_crawler metadump 0\r\nlru_crawler metadump 64\r\nlru_crawler metadump x\r\n"
                + "lru_crawler metadump 1,x\r\nlru_crawler mgdump\r\nstats cachedump 1\r\nstats cachedump 1 x\r\n"
                + "stats cachedump 64 1\r\n",
            "ERROR\r\n" + String(repeating: "BADCLASS invalid class id\r\n", count: 4) + "ERROR\r\n"
                + "CLIENT_ERROR bad command line\r\nCLIENT_ERROR bad command line format\r\n"
                + "CLIENT_ERROR Illegal slab id\r\n"),
        Exchange(
            "stats detail counts by prefix",
            "stats detail on\r\nget p:a\r\nset p:a 0 0 1\r\n1\r\nget p:a plain\r\nmg p:a\r\ndelete p:a\r\n"
                + "stats detail off\r\nget p:a\r\nstats detail dump\r\nstats reset\r\nstats detail dump\r\n",
            "OK\r\nEND\r\nSTORED\r\nVALUE p:a 0 1\r\n1\r\nEND\r\nHD\r\nDELETED\r\nOK\r\nEND\r\n"
                + "PREFIX p get 3 hit 2 set 1 del 1\r\nEND\r\nRESET\r\nEND\r\n"),
        Exchange("a long line of nonsense", String(repeating: "x", count: 2040) + "\r\n", "ERROR\r\n"),
    ]

    static let ours: [Exchange] = [
        // memcached 1.6.18 cuts these numbers off at 32 bits; later ones refuse them, as we do.
        Exchange("flags of more than 32 bits", "set a 4294967296 0 1\r\n1\r\nmn\r\n", badFormat + "MN\r\n"),
        Exchange("a length of more than 32 bits", "set a 0 0 4294967297\r\n", badFormat),
        // A key is bytes: memcached's ends at a zero byte.
        Exchange(
            "a zero byte in a key", "set a\u{0}b 0 0 1\r\n1\r\nget a\r\nget a\u{0}b\r\n",
            "STORED\r\nEND\r\nVALUE a\u{0}b 0 1\r\n1\r\nEND\r\n"),
    ]
}
