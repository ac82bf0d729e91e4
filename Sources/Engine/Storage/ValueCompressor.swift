// Which values of a store are worth compressing, with which dictionary, and when to train another.
//
// Unsafe: passes raw buffers to the codec. Not thread-safe: the store's lock guards it, but for the training itself.

import CZstd

final class ValueCompressor {
    /// Without a dictionary, smaller values hardly shrink.
    static let valueBytesMinAlone = 512
    static let valueBytesMin = 64
    private static let retrainSeconds: UInt32 = 600
    private static let kindCount = 64

    /// A dictionary that segments may still need.
    private struct Slot {
        var dictionary: CompressionDictionary?
        var segments = 0
    }

    /// Number 0 means: without a dictionary. It stays empty.
    private var slots = [Slot](repeating: Slot(), count: 5)
    /// The dictionary for values that are compressed from now on.
    private(set) var current: UInt8 = 0
    private let codec: ZstdCodec
    private(set) var memoryBytes = 0
    private var attempts: UInt64 = 0
    private(set) var trainings = 0

    /// Compressed size by raw size, as a moving average, of the kinds of keys and of all; 1 where it did not pay.
    private var ratioByKind = [Float](repeating: 0, count: kindCount)
    private(set) var ratio: Double = 1
    private var ratioAtAdoption: Double = 1

    private let sampleBytesMax: Int
    private var sample: ValueSample? = ValueSample()
    private var sampledSecond: UInt32 = 0

    /// `memoryBytes` of the store bounds what is sampled. Nil when libzstd has no memory.
    init?(storeBytes: Int) {
        guard let codec = ZstdCodec() else { return nil }
        self.codec = codec
        sampleBytesMax = min(1 << 20, storeBytes / 32)
        updateMemory()
    }

    private func updateMemory() {
        memoryBytes = codec.memoryBytes + slots.reduce(0) { $0 + ($1.dictionary?.memoryBytes ?? 0) }
    }

    var dictionaryBytes: Int { slots[Int(current)].dictionary?.contentBytes ?? 0 }

    /// Whether most values shrink so much that going through many of them frees memory.
    var isWorthwhile: Bool { ratio < 0.8 }

    // MARK: Values

    /// Whether a value of that size should be tried. Kinds of keys whose values did not shrink get one try in 32.
    func shouldTry(_ key: UnsafeRawBufferPointer, valueBytes: Int) -> Bool {
        guard valueBytes >= (current == 0 ? Self.valueBytesMinAlone : Self.valueBytesMin),
            valueBytes <= ZstdCodec.valueBytesMax
        else { return false }
        attempts &+= 1
        return ratioByKind[Self.kind(key)] < 0.9 || attempts & 31 == 0
    }

    /// The stored form with the current dictionary; nil when the value does not shrink enough. Good until the next call.
    func compress(_ value: UnsafeRawBufferPointer, key: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer? {
        let stored = codec.compress(value, with: slots[Int(current)].dictionary)
        let reached = Float(stored?.count ?? value.count) / Float(value.count)
        let kind = Self.kind(key)
        ratioByKind[kind] += (reached - ratioByKind[kind]) / 16
        ratio += (Double(reached) - ratio) / 256
        if attempts & 1023 == 0 { updateMemory() }
        return stored
    }

    /// The raw value; good until the next call.
    func decompress(_ stored: UnsafeRawBufferPointer, dictionary: UInt8) -> UnsafeRawBufferPointer {
        codec.decompress(stored, with: slots[Int(dictionary)].dictionary)
    }

    /// The letters a key starts with, hashed: `user:17` and `user:18` are of a kind.
    private static func kind(_ key: UnsafeRawBufferPointer) -> Int {
        var hash: UInt32 = 2_166_136_261
        for byte in key.prefix(16) {
            guard byte | 0x20 &- 97 < 26 else { break }
            hash = (hash ^ UInt32(byte)) &* 16_777_619
        }
        return Int(hash >> 16 ^ hash) & (kindCount - 1)
    }

    // MARK: Dictionaries

    /// A segment's values may need dictionary `number` as long as it is not released.
    func retain(_ number: UInt8) { slots[Int(number)].segments += 1 }

    func release(_ number: UInt8) {
        slots[Int(number)].segments -= 1
        if number != 0, number != current, slots[Int(number)].segments == 0 {
            slots[Int(number)].dictionary = nil
            updateMemory()
        }
    }

    /// Uses a newly trained dictionary from now on. False when four are alive already.
    func adopt(_ dictionary: CompressionDictionary, ratio: Double) -> Bool {
        guard let free = slots.indices.dropFirst().first(where: { slots[$0].dictionary == nil }) else { return false }
        let previous = Int(current)
        slots[free].dictionary = dictionary
        current = UInt8(free)
        if previous != 0, slots[previous].segments == 0 { slots[previous].dictionary = nil }
        (self.ratio, ratioAtAdoption) = (ratio, ratio)
        for kind in ratioByKind.indices { ratioByKind[kind] = 0 }
        trainings += 1
        updateMemory()
        return true
    }

    // MARK: Sampling

    /// A full sample waits to be trained on.
    private(set) var isTrainingDue = false

    /// Whether values are wanted for the next training.
    func wantsSample(now: UInt32) -> Bool {
        if sample != nil { return !isTrainingDue }
        guard now >= sampledSecond &+ Self.retrainSeconds, current == 0 || ratio > ratioAtAdoption * 1.1 else {
            return false
        }
        sample = ValueSample()
        return true
    }

    func addSample(_ value: UnsafeRawBufferPointer) {
        guard value.count >= Self.valueBytesMin, sample != nil else { return }
        sample?.add(value)
        isTrainingDue = (sample?.bytes.count ?? 0) >= sampleBytesMax
    }

    /// The sample, for a training that runs without the lock; and the dictionary it must beat.
    func takeSample(now: UInt32) -> (sample: ValueSample, present: CompressionDictionary?)? {
        guard let full = sample else { return nil }
        sample = nil
        isTrainingDue = false
        sampledSecond = now
        return (full, slots[Int(current)].dictionary)
    }
}
