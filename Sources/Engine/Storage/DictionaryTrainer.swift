// A dictionary's content, from values that lie end to end: the stretches that have most in common with the others.
//
// As FastCOVER (of zstd's dictBuilder, after Liao, Petri, Moffat and Wirth, WWW'16): substrings of 6 bytes are counted by
// their hash, the sample is cut into as many epochs as the dictionary has room for stretches, and of each epoch the stretch
// is taken whose substrings are counted most, each once. What a stretch covers no longer counts for the next ones.
//
// libzstd's own trainer tries 40 stretch lengths with tables of 12 MiB, and takes a second where others compute too. For a
// dictionary of 16 KiB, tables of 192 KiB and one length reach the same ratio in 10 ms (see decision 0041).

import CZstd

package struct DictionaryTrainer: ~Copyable {
    private static let substringBytes = 6
    private static let stretchBytes = 64
    private static let tableBits: UInt64 = 15
    /// What libzstd writes before the content at most: entropy tables and first offsets.
    private static let headerBytesMax = 256
    /// An upper bound of what training takes beside the sample: the tables here, and libzstd's when it makes the header.
    package static let memoryBytes = 1 << 20

    /// How often substrings with this hash occur, as far as no stretch that was taken covers them.
    private let counts: UnsafeMutablePointer<UInt32>
    /// How often they occur in the stretch that is being looked at.
    private let present: UnsafeMutablePointer<UInt16>
    private let bytes: UnsafeRawBufferPointer

    private init(_ bytes: UnsafeRawBufferPointer) {
        self.bytes = bytes
        counts = .allocate(capacity: 1 << Self.tableBits)
        counts.initialize(repeating: 0, count: 1 << Self.tableBits)
        present = .allocate(capacity: 1 << Self.tableBits)
        present.initialize(repeating: 0, count: 1 << Self.tableBits)
    }

    deinit {
        counts.deallocate()
        present.deallocate()
    }

    /// A dictionary of at most `capacity` bytes for values like these; nil when they have nothing in common.
    package static func dictionary(
        of bytes: UnsafeRawBufferPointer, sizes: ArraySlice<Int>, capacity: Int
    ) -> [UInt8]? {
        guard capacity > 2 * headerBytesMax else { return nil }
        let trainer = DictionaryTrainer(bytes)
        trainer.count(sizes)
        let content = trainer.content(bytesMax: capacity - headerBytesMax)
        guard !content.isEmpty else { return nil }
        var dictionary = [UInt8](repeating: 0, count: capacity)
        let parameters = ZDICT_params_t(compressionLevel: CompressionDictionary.level, notificationLevel: 0, dictID: 0)
        let count = sizes.withUnsafeBufferPointer {
            ZDICT_finalizeDictionary(
                &dictionary, capacity, content, content.count, bytes.baseAddress, $0.baseAddress, UInt32($0.count),
                parameters)
        }
        guard ZDICT_isError(count) == 0 else { return nil }
        dictionary.removeSubrange(count...)
        return dictionary
    }

    /// The table's entry for the substring at `offset`, which has 8 bytes behind it.
    @inline(__always)
    private func entry(_ offset: Int) -> Int {
        let word = UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self)) << 16
        return Int(truncatingIfNeeded: (word &* 0x9E37_79B1_85EB_CA87) >> (64 - Self.tableBits))
    }

    private func count(_ sizes: ArraySlice<Int>) {
        var start = 0
        for size in sizes {
            for offset in stride(from: start, to: start + size - 7, by: 1) { counts[entry(offset)] &+= 1 }
            start += size
        }
    }

    /// The best stretches of all epochs. Those taken first are behind the others, where references to them are shortest.
    private func content(bytesMax: Int) -> [UInt8] {
        let ends = bytes.count - 7
        guard ends > Self.stretchBytes else { return [] }
        let epochBytes = max(Self.stretchBytes * 10, ends * Self.stretchBytes / bytesMax)
        let epochs = max(1, ends / epochBytes)
        var stretches: [Range<Int>] = []
        var (room, epoch, failures) = (bytesMax, 0, 0)
        while room >= Self.substringBytes, failures < epochs {
            let start = epoch * epochBytes
            let stretch = bestStretch(in: start..<min(start + epochBytes, ends))
            if stretch.isEmpty {
                failures += 1
            } else {
                failures = 0
                stretches.append(stretch.prefix(room))
                room -= stretch.count
            }
            epoch = (epoch + 1) % epochs
        }
        return stretches.reversed().flatMap { bytes[$0] }
    }

    /// The stretch among the substrings that start in `starts` whose substrings are counted most; empty when none is counted
    /// more than once. What it covers does not count any more.
    private func bestStretch(in starts: Range<Int>) -> Range<Int> {
        let substrings = Self.stretchBytes - Self.substringBytes + 1
        var (score, best, bestStart) = (0, substrings, -1)
        for at in starts {
            let added = entry(at)
            if present[added] == 0 { score += Int(counts[added]) }
            present[added] += 1
            guard at - starts.lowerBound >= substrings - 1 else { continue }
            let first = at - substrings + 1
            if score > best { (best, bestStart) = (score, first) }
            let removed = entry(first)
            present[removed] -= 1
            if present[removed] == 0 { score -= Int(counts[removed]) }
        }
        for at in starts.suffix(substrings) { present[entry(at)] = 0 }
        guard bestStart >= 0 else { return starts.lowerBound..<starts.lowerBound }
        for at in bestStart..<(bestStart + substrings) { counts[entry(at)] = 0 }
        return bestStart..<(bestStart + Self.stretchBytes)
    }
}
