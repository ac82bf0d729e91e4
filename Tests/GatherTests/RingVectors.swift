// Who owns which key according to libmemcached itself.
//
// Made with Debian 12's libmemcached 1.1.4: a C program that makes a client with
// MEMCACHED_BEHAVIOR_KETAMA_WEIGHTED, adds the servers with memcached_server_add_with_weight() and prints, for each key,
// the index that memcached_generate_hash() returns. The weighted servers, and the key SVa_]_V41) with its hash 443691461
// and its owner 10.0.1.7, are those of the tests of libmemcached and libketama.

import Gather

enum RingVectors {
    /// One digit a key of `keys`: its owner.
    static let perKey: [(name: String, servers: [RingServer], owners: String)] = [
        (
            "the default port, which is not hashed, among others", localServers(firstPort: 11211),
            "2100001220100020100101210202000002101001211221100222112122100210100200211200111120112100002000021222"
                + "2001112110201120222201201212102011111011122011012022221211200112122202220022220112112222122100100022"
        ),
        (
            "other ports", localServers(firstPort: 12001),
            "0121011121010110001211100020011012202112120022100111111022110201020210221000210100022212000022211021"
                + "1020020121110020112201212102200020201022021200100100010202122201122120221222010002122011121100022110"
        ),
        (
            "weights", weightedServers,
            "6575365420354564017655240670044566646436441666012133104743455656675342430555662554324446064066514614"
                + "0561446442430643143544636540556546462453454666316520360044452253457167447344531446563644063140664405"
        ),
    ]

    /// The keys of `perKey`.
    static let keys = ["SVa_]_V41)"] + (0..<199).map { "key:\($0)" }

    /// The MD5 of the owners' indexes, a byte a key, of `user:0:profile` to `user:19999:profile`; servers as in `perKey`.
    static let twentyThousandKeys = [
        "e6d8ada1e50e7b77e73b99fd1c7cb49b", "8685a51456433f3a7efafbd02802e39a", "2c4b16b5f217df98a16d8f611634cf04",
    ]

    /// The MD5 of the owners' digits, as text, of keys that are 1 to 250 times `x`; servers as in `perKey`.
    static let keysOfEveryLength = [
        "eb6af3a7e42b53da50ecd8f095c17a2c", "99ba2822a9427fba2cf0adbf9be266c9", "e9a591df78ff3f78efc35dc5a6f6f0e1",
    ]

    /// The MD5 of the owners' indexes of k0 to k499, a byte a key, for clusters of 1, 2, … 64 such servers.
    static let equalServersToSixtyFour = "574a1b93e8eedd37fe3da1c573362e2b"
    static func equalServer(_ i: Int) -> RingServer { RingServer(host: "10.1.0.\(i)", port: 11211 + i % 3) }

    static let unequalServersToSixtyFour = "e9c8606e6082a9942c163e184c276fdd"
    static func unequalServer(_ i: Int) -> RingServer {
        RingServer(host: "cache\(i).example.com", port: 11300, weight: 1 + (i * i * 37) % 101)
    }

    /// The owners of the first hundred of `keys` among `::1` at ports 12001 to 12003.
    static let ipv6Owners =
        "1022202201211012121221111111220202211112102220101121222120022222212012112222210221011210110221201122"

    static let weightedServers = [600, 300, 200, 350, 1000, 800, 950, 100].enumerated().map {
        RingServer(host: "10.0.1.\($0.offset + 1)", port: 11211, weight: $0.element)
    }

    private static func localServers(firstPort: Int) -> [RingServer] {
        (0..<3).map { RingServer(host: "127.0.0.1", port: firstPort + $0) }
    }
}
