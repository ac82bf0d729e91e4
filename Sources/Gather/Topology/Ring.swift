// The ring: libmemcached's weighted ketama, point for point, so that clients that hash reach the owner at once.
// Unsafe pointers: keys come as they lie in the request's bytes.

import CKernels
package import Coordination
import Engine
import Glibc

/// A server as clients name it: the text of its host is hashed as it stands, an IPv6 address without brackets.
package struct RingServer: Sendable, Hashable {
    package let host: String
    package let port: Int
    /// Its share of the keys, relative to the other servers' weights.
    package let weight: Int

    package init(host: String, port: Int, weight: Int = 1) {
        precondition(weight > 0, "a server's weight is at least 1")
        self.host = host
        self.port = port
        self.weight = weight
    }
}

/// Points on a circle of 2³² hashes, each owned by a server; a key belongs to the first point at or after its hash.
///
/// What clients call it: `MEMCACHED_BEHAVIOR_KETAMA_WEIGHTED` in libmemcached, `ketama_weighted` in pylibmc,
/// `OPT_LIBKETAMA_COMPATIBLE` in PHP. The source of the rules is libmemcached 1.1.4, `src/libmemcached/hosts.cc`.
package struct Ring: Sendable {
    package let servers: [RingServer]
    /// Sorted; a point in the upper half, its server's index in the lower. Two servers with the same point (some 1 in
    /// 40,000 rings of three has such a pair) thus come in the order of `servers`, as they do in libmemcached: the point
    /// belongs to the first. Nothing else depends on the order.
    private let points: [UInt64]
    /// Cost: about 20 µs a server. At least one server.
    package init(servers: [RingServer]) {
        precondition(!servers.isEmpty, "a ring needs a server")
        self.servers = servers
        let weightTotal = servers.reduce(0) { $0 + $1.weight }
        var points: [UInt64] = []
        points.reserveCapacity(servers.count * Self.digestsPerServer * Self.pointsPerDigest)
        for (index, server) in servers.enumerated() {
            let digests = Self.digests(weight: server.weight, weightTotal: weightTotal, servers: servers.count)
            for number in 0..<digests {
                let words = Self.digest(of: server, number: number)
                for point in [words.0, words.1, words.2, words.3] {
                    points.append(UInt64(point) << 32 | UInt64(index))
                }
            }
        }
        points.sort()
        precondition(!points.isEmpty, "a ring needs a point")
        self.points = points
    }

    /// Where a key lies on the circle. Cost: one MD5, about 0.15 µs for keys of up to 55 bytes.
    package static func hash(_ key: UnsafeRawBufferPointer) -> UInt32 { md5(key).0 }

    /// The partition that a key is in. Cost: `hash`.
    package static func partition(of key: UnsafeRawBufferPointer) -> Int { partition(ofHash: hash(key)) }

    /// The partition of the keys with this hash.
    @inline(__always)
    static func partition(ofHash hash: UInt32) -> Int {
        Int(truncatingIfNeeded: hash >> (32 - UInt32(truncatingIfNeeded: Partition.bits)))
    }

    /// The index, in `servers`, of the owner of a key as clients find it.
    package func server(forKey key: UnsafeRawBufferPointer) -> Int { server(forHash: Self.hash(key)) }

    /// The index of the server whose point is the first at or after `hash`, around the circle.
    package func server(forHash hash: UInt32) -> Int {
        let wanted = UInt64(hash) << 32
        let at = partitionPoint(points.count) { points[$0] < wanted }
        return Int(UInt32(truncatingIfNeeded: points[at == points.count ? 0 : at]))
    }

    /// Who owns each partition.
    package var table: PartitionTable {
        PartitionTable(
            points: points.map {
                PartitionTable.Point(
                    hash: UInt32(truncatingIfNeeded: $0 >> 32), node: Int(UInt32(truncatingIfNeeded: $0)))
            })
    }

    /// Calls `body` with the number of each key and where it lies on the circle. Cost: about 25 ns a key where they come in
    /// eights and have up to 55 bytes; allocates nothing.
    package static func forEachHash(
        of keys: UnsafeBufferPointer<UnsafeRawBufferPointer>, _ body: (_ key: Int, _ hash: UInt32) -> Void
    ) {
        let lanes = Int(CK_MD5_LANES)
        withUnsafeTemporaryAllocation(byteCount: lanes * blockBytes, alignment: 64) { blocks in
            withUnsafeTemporaryAllocation(of: UInt32.self, capacity: lanes) { hashes in
                guard let base = blocks.baseAddress, let words = hashes.baseAddress else { return }
                for start in stride(from: 0, to: keys.count, by: lanes) {
                    let count = min(lanes, keys.count &- start)
                    // Few are faster one by one.
                    let areTogether = count > 2
                    if areTogether {
                        for lane in 0..<count { pad(keys[start &+ lane], base + lane &* blockBytes) }
                        ck_md5_first_words(base, words)
                    }
                    for lane in 0..<count {
                        let key = keys[start &+ lane]
                        let isShort = areTogether && key.count <= blockKeyBytesMax
                        body(start &+ lane, isShort ? words[lane] : hash(key))
                    }
                }
            }
        }
    }

    private static let blockBytes = 64
    /// Behind a longer key is no room in one block for the 1 bit and the length.
    private static let blockKeyBytesMax = 55

    /// The key, a 1 bit, zeros, and its length in bits.
    @inline(__always)
    private static func pad(_ key: UnsafeRawBufferPointer, _ block: UnsafeMutableRawPointer) {
        memset(block, 0, blockBytes)
        guard key.count <= blockKeyBytesMax, let source = key.baseAddress else { return }
        block.copyMemory(from: source, byteCount: key.count)
        block.storeBytes(of: 0x80, toByteOffset: key.count, as: UInt8.self)
        block.storeBytes(of: (UInt64(key.count) &* 8).littleEndian, toByteOffset: 56, as: UInt64.self)
    }

    /// How many points each server has; 0 for one whose weight is too small beside the others' to get any.
    package var pointsPerServer: [Int] {
        points.reduce(into: Array(repeating: 0, count: servers.count)) { counts, point in
            counts[Int(UInt32(truncatingIfNeeded: point))] += 1
        }
    }

    private static let digestsPerServer = 40
    private static let pointsPerDigest = 4
    private static let memcachedPort = 11211

    /// A server's share of `digestsPerServer` times the number of servers, rounded down. In single precision, step by
    /// step as libmemcached does it: with 25 equal servers, for one, it yields 39 digests each, not 40.
    private static func digests(weight: Int, weightTotal: Int, servers: Int) -> Int {
        let share = Float(weight) / Float(weightTotal)
        let digests =
            share * Float(digestsPerServer * pointsPerDigest) / Float(pointsPerDigest) * Float(servers) + 1e-10
        return Int(digests)
    }

    /// The digest of `host:port-number`; memcached's own port is left out.
    private static func digest(of server: RingServer, number: Int) -> (UInt32, UInt32, UInt32, UInt32) {
        let address = server.port == memcachedPort ? server.host : "\(server.host):\(server.port)"
        var text = "\(address)-\(number)"
        return text.withUTF8 { md5(UnsafeRawBufferPointer($0)) }
    }
}
