// Which values of a store are worth compressing, with which dictionary, and when to train another.
//
// Unsafe: passes raw buffers to the codec. Not thread-safe: the store's lock guards it, but for the training itself.

import CZstd

final class ValueCompressor {
    /// Without a dictionary, smaller values hardly shrink.
    static let valueBytesMinAlone = 512
    static let valueBytesMin = 64
    /// What is new to a full store waits for its compression, with the lock held: longer values do so for too long.
    private static let newcomerBytesMax = 16 << 10
    /// More values make the dictionary no better: see decision 0041.
    private static let sampleBytesMax = 512 << 10
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
    private var sample: ValueSample?
    private var sampledSecond: UInt32?
    /// What a sample that is being trained on takes, and the training itself.
    private var trainingBytes = 0
    /// What `hold` returned last.
    private var held = UnsafeMutableRawBufferPointer.allocate(byteCount: 1024, alignment: 8)

    /// `memoryBytes` of the store bounds what is sampled. Nil when libzstd has no memory.
    init?(storeBytes: Int) {
        guard let codec = ZstdCodec() else { return nil }
        self.codec = codec
        sampleBytesMax = min(Self.sampleBytesMax, storeBytes / 32)
        updateMemory()
    }

    deinit { held.deallocate() }

    private func updateMemory() {
        memoryBytes = codec.memoryBytes + held.count + trainingBytes + (sample?.memoryBytes ?? 0)
        for slot in slots { memoryBytes += slot.dictionary?.memoryBytes ?? 0 }
    }

    var dictionaryBytes: Int { slots[Int(current)].dictionary?.content.count ?? 0 }

    /// Whether most values shrink so much that going through many of them frees memory.
    var isWorthwhile: Bool { ratio < 0.8 }

    /// How many segments need dictionary `number`. For tests.
    func segments(of number: UInt8) -> Int { slots[Int(number)].segments }

    // MARK: Values

    /// Whether a value of that size may shrink.
    func takes(_ valueBytes: Int) -> Bool {
        valueBytes >= (current == 0 ? Self.valueBytesMinAlone : Self.valueBytesMin)
            && valueBytes <= ZstdCodec.valueBytesMax
    }

    /// Whether a value of that size should be tried. Kinds of keys whose values did not shrink get one try in 32.
    func shouldTry(_ key: UnsafeRawBufferPointer, valueBytes: Int) -> Bool {
        guard takes(valueBytes) else { return false }
        attempts &+= 1
        if attempts & 1023 == 0 { updateMemory() }
        return ratioByKind[Self.kind(key)] < 0.9 || attempts & 31 == 0
    }

    /// The stored form with the current dictionary; nil when the value does not shrink enough. Good until the next call.
    func compress(_ value: UnsafeRawBufferPointer, key: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer? {
        let stored = codec.compress(value)
        let reached = Float(stored?.count ?? value.count) / Float(value.count)
        let kind = Self.kind(key)
        ratioByKind[kind] += (reached - ratioByKind[kind]) / 16
        ratio += (Double(reached) - ratio) / 256
        return stored
    }

    /// As `shouldTry`, of a value that is new to the small queue of a full store.
    func shouldTryNewcomer(_ key: UnsafeRawBufferPointer, valueBytes: Int) -> Bool {
        isWorthwhile && valueBytes <= Self.newcomerBytesMax && shouldTry(key, valueBytes: valueBytes)
    }

    /// A copy of what `compress` or `decompress` returned, which outlasts the next calls of those; good until the next call
    /// of this.
    func hold(_ value: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
        if held.count < value.count {
            held.deallocate()
            held = .allocate(byteCount: max(value.count, 2 * held.count), alignment: 8)
        }
        if value.count > 0 { held.copyMemory(from: value) }
        return UnsafeRawBufferPointer(rebasing: held[..<value.count])
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
        codec.use(dictionary)
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
        guard trainingBytes == 0 else { return false }
        if let sampledSecond {
            guard now >= sampledSecond &+ Self.retrainSeconds, current == 0 || ratio > ratioAtAdoption * 1.1 else {
                return false
            }
        }
        sample = ValueSample(bytesMax: sampleBytesMax)
        updateMemory()
        return true
    }

    func addSample(_ value: UnsafeRawBufferPointer) {
        guard value.count >= Self.valueBytesMin, sample != nil else { return }
        sample?.add(value)
        isTrainingDue = sample?.isFull ?? false
    }

    /// The sample, for a training that runs without the lock; and the dictionary it must beat. `finishTraining` must follow.
    func takeSample(now: UInt32) -> (sample: ValueSample, present: CompressionDictionary?)? {
        guard let full = sample else { return nil }
        sample = nil
        isTrainingDue = false
        sampledSecond = now
        trainingBytes = full.memoryBytes + DictionaryTrainer.memoryBytes
        updateMemory()
        return (full, slots[Int(current)].dictionary)
    }

    /// What the training took is free again.
    func finishTraining() {
        trainingBytes = 0
        updateMemory()
    }
}
