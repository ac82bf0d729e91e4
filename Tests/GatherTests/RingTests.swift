// The ring against libmemcached's own answers, and MD5 against RFC 1321's.

import Gather
import Testing

@Suite struct RingTests {
    @Test("the published test key lies where libketama says, and its owner is 10.0.1.7")
    func publishedKey() {
        let ring = Ring(servers: RingVectors.weightedServers)
        #expect(withBytes("SVa_]_V41)") { Ring.hash($0) } == 443_691_461)
        #expect(ring.servers[ring.owner("SVa_]_V41)")].host == "10.0.1.7")
    }

    @Test("each key has the owner libmemcached gives it")
    func owners() {
        for vector in RingVectors.perKey {
            let ring = Ring(servers: vector.servers)
            let owners = RingVectors.keys.map { String(ring.owner($0)) }.joined()
            #expect(owners == vector.owners, "\(vector.name)")
        }
    }

    @Test("20,000 keys, and keys of every length, have the owners libmemcached gives them")
    func manyKeys() {
        for (index, vector) in RingVectors.perKey.enumerated() {
            let ring = Ring(servers: vector.servers)
            let owners = (0..<20_000).map { UInt8(ring.owner("user:\($0):profile")) }
            #expect(hexDigest(owners) == RingVectors.twentyThousandKeys[index], "\(vector.name)")
            let digits = (1...250).map { String(ring.owner(String(repeating: "x", count: $0))) }.joined()
            #expect(hexDigest(Array(digits.utf8)) == RingVectors.keysOfEveryLength[index], "\(vector.name)")
        }
    }

    @Test("keys of every length, and any number of them, have the same hashes together as one by one")
    func together() {
        for count in [1, 2, 3, 7, 8, 9, 16, 131] {
            // Lengths from 0 on, around the 55 bytes that fit into a block, and empty ones between long ones.
            let keys = (0..<count).map { Array(String(repeating: "k\($0):", count: $0 % 40).utf8.prefix(120)) }
            var storage: [UInt8] = []
            for key in keys { storage += key }
            var hashes = [UInt32?](repeating: nil, count: count)
            storage.withUnsafeBytes { bytes in
                var at = 0
                let views = keys.map { key in
                    defer { at += key.count }
                    return UnsafeRawBufferPointer(rebasing: bytes[at..<at + key.count])
                }
                views.withUnsafeBufferPointer { views in
                    Ring.forEachHash(of: views) { key, hash in
                        #expect(hashes[key] == nil)
                        hashes[key] = hash
                    }
                }
            }
            #expect(hashes == keys.map { key in key.withUnsafeBytes { Ring.hash($0) } })
        }
    }

    @Test("clusters of 1 to 64 servers, equal or not, are rounded as libmemcached rounds them")
    func growingClusters() {
        func digest(of server: (Int) -> RingServer) -> String {
            let owners = (1...64).flatMap { count in
                let ring = Ring(servers: (0..<count).map(server))
                return (0..<500).map { UInt8(ring.owner("k\($0)")) }
            }
            return hexDigest(owners)
        }
        #expect(digest(of: RingVectors.equalServer) == RingVectors.equalServersToSixtyFour)
        #expect(digest(of: RingVectors.unequalServer) == RingVectors.unequalServersToSixtyFour)
    }

    @Test("an IPv6 address is hashed without brackets")
    func ipv6() {
        let ring = Ring(servers: (12001...12003).map { RingServer(host: "::1", port: $0) })
        #expect(RingVectors.keys.prefix(100).map { String(ring.owner($0)) }.joined() == RingVectors.ipv6Owners)
    }

    @Test("a server has 160 points, fewer where single precision loses a digest, a share of them where it weighs less")
    func points() {
        func points(_ weights: [Int]) -> [Int] {
            Ring(servers: weights.enumerated().map { RingServer(host: "h\($0.offset)", port: 1, weight: $0.element) })
                .pointsPerServer
        }
        #expect(points([1]) == [160])
        #expect(points([7, 7, 7]) == [160, 160, 160])
        #expect(points([3, 1]) == [240, 80])
        #expect(points(Array(repeating: 1, count: 25)) == Array(repeating: 156, count: 25))
        #expect(points([1, 1000]) == [0, 316])
    }

    @Test("a hash at a point belongs to the point, one past the last point to the first")
    func edges() {
        let ring = Ring(servers: RingVectors.weightedServers)
        let owners = (0..<40).flatMap { number -> [(point: UInt32, server: Int)] in
            let words = withBytes("10.0.1.5-\(number)") { md5($0) }
            return [words.0, words.1, words.2, words.3].map { ($0, 4) }
        }
        for owner in owners { #expect(ring.server(forHash: owner.point) == owner.server) }
        #expect(ring.server(forHash: .max) == ring.server(forHash: 0))
    }

    @Test("the order of the servers changes their indexes and nothing else")
    func order() {
        let forward = Ring(servers: RingVectors.weightedServers)
        let backward = Ring(servers: RingVectors.weightedServers.reversed())
        for key in RingVectors.keys {
            #expect(forward.servers[forward.owner(key)] == backward.servers[backward.owner(key)])
        }
    }

    @Test("MD5 of RFC 1321's texts and of a million letters")
    func md5Published() {
        let published = [
            ("", "d41d8cd98f00b204e9800998ecf8427e"), ("a", "0cc175b9c0f1b6a831c399e269772661"),
            ("abc", "900150983cd24fb0d6963f7d28e17f72"), ("message digest", "f96b697d7cb7938d525a2f31aaf161d0"),
            ("abcdefghijklmnopqrstuvwxyz", "c3fcd3d76192e4007dfb496cca67e13b"),
            (
                "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
                "d174ab98d277d9f5a5611c2c9f419d9f"
            ),
            (String(repeating: "1234567890", count: 8), "57edf4a22be3c955ac49da2e2107b67a"),
        ]
        for (text, digest) in published { #expect(hexDigest(Array(text.utf8)) == digest) }
        let isMillionRight =
            hexDigest(Array(repeating: UInt8(ascii: "a"), count: 1_000_000)) == "7707d6ae4e027c70eea2a935c2296f21"
        #expect(isMillionRight)
    }

    /// The expected digest comes from Python's hashlib: the MD5 of the 131 digests in a row, each of n bytes of which
    /// the i-th is (7i + n) mod 256.
    @Test("MD5 of every length from 0 to 130 bytes, at every alignment")
    func md5Lengths() {
        for alignment in 0..<8 {
            let digests = (0...130).flatMap { length -> [UInt8] in
                let bytes = (0..<alignment + length).map { UInt8(truncatingIfNeeded: ($0 - alignment) * 7 + length) }
                return bytes.withUnsafeBytes { digestBytes(md5(UnsafeRawBufferPointer(rebasing: $0[alignment...]))) }
            }
            #expect(hexDigest(digests) == "df6954f2171934b3a1d651b1bf28ce12")
        }
    }
}

extension Ring {
    fileprivate func owner(_ key: String) -> Int { withBytes(key) { server(forKey: $0) } }
}

private func withBytes<Result>(_ text: String, _ body: (UnsafeRawBufferPointer) -> Result) -> Result {
    Array(text.utf8).withUnsafeBytes(body)
}

private func digestBytes(_ words: (UInt32, UInt32, UInt32, UInt32)) -> [UInt8] {
    [words.0, words.1, words.2, words.3].flatMap { word in withUnsafeBytes(of: word.littleEndian) { Array($0) } }
}

private func hexDigest(_ bytes: [UInt8]) -> String {
    digestBytes(bytes.withUnsafeBytes { md5($0) }).map { byte in
        let text = String(byte, radix: 16)
        return byte < 16 ? "0" + text : text
    }.joined()
}
