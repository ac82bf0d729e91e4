// Arithmetic over columns, compiled: steps on a stack of vectors of doubles.

// Unsafe: writes block buffers for as many rows as the reader has selected.

struct ExpressionProgram: Sendable {
    enum Step: Sendable {
        case number(Double)
        case slot(Int)
        case negate
        case binary(Expression.Operation)
        case call(Expression.Function)
    }
    let steps: [Step]
    let slots: [Int]

    /// `slot` finds or makes the place of a column.
    init(_ expression: Expression, slot: (String) throws(Failure) -> Int) throws(Failure) {
        var steps: [Step] = []
        try Self.append(expression, &steps, slot)
        self.steps = steps
        slots = steps.compactMap { step in if case .slot(let slot) = step { slot } else { nil } }
    }

    private static func append(
        _ expression: Expression, _ steps: inout [Step], _ slot: (String) throws(Failure) -> Int
    ) throws(Failure) {
        switch expression {
        case .number(let number): steps.append(.number(number))
        case .column(let name): steps.append(.slot(try slot(name)))
        case .negated(let inner):
            try append(inner, &steps, slot)
            steps.append(.negate)
        case .binary(let operation, let a, let b):
            try append(a, &steps, slot)
            try append(b, &steps, slot)
            steps.append(.binary(operation))
        case .call(let function, let inner):
            try append(inner, &steps, slot)
            steps.append(.call(function))
        }
    }
}

/// Of one thread's scan.
final class ExpressionEvaluator {
    private var stack: [BlockBuffer] = []
    private let missing = BlockBuffer()

    /// The program's result for the reader's selected rows, in `result`; its nulls in `nulls`.
    func evaluate(
        _ program: ExpressionProgram, count: Int, reader: BlockReader, into result: BlockBuffer, _ nulls: BlockBuffer
    ) throws(Failure) -> BlockVector {
        let missing = missing.pointer(UInt8.self)
        missing.update(repeating: 0, count: count)
        var depth = 0
        for step in program.steps {
            switch step {
            case .number(let number):
                top(depth).update(repeating: number, count: count)
                depth += 1
            case .slot(let slot):
                let vector = try reader.vector(slot)
                Self.load(vector, count, into: top(depth))
                for index in 0..<vector.nulls.count { missing[vector.nulls[index]] = 1 }
                depth += 1
            case .negate:
                let a = top(depth - 1)
                for at in 0..<count { a[at] = -a[at] }
            case .call(let function): Self.apply(function, top(depth - 1), count)
            case .binary(let operation):
                depth -= 1
                Self.apply(operation, top(depth - 1), top(depth), count, missing)
            }
        }
        return finish(top(0), count, missing, result, nulls)
    }

    private func top(_ depth: Int) -> UnsafeMutablePointer<Double> {
        while stack.count <= depth { stack.append(BlockBuffer()) }
        return stack[depth].pointer()
    }

    private func finish(
        _ values: UnsafePointer<Double>, _ count: Int, _ missing: UnsafePointer<UInt8>, _ result: BlockBuffer,
        _ nulls: BlockBuffer
    ) -> BlockVector {
        let out = result.pointer(Double.self)
        let positions = nulls.pointer(UInt16.self)
        out.update(from: values, count: count)
        var nullCount = 0
        for at in 0..<count {
            positions[nullCount] = UInt16(truncatingIfNeeded: at)
            nullCount &+= Int(missing[at])
        }
        for index in 0..<nullCount { out[Int(positions[index])] = 0 }
        return BlockVector(
            elements: .doubles(UnsafePointer(out)),
            nulls: nullCount == 0 ? .none : BlockPositions(start: UnsafePointer(positions), count: nullCount))
    }

    private static func load(_ vector: BlockVector, _ count: Int, into out: UnsafeMutablePointer<Double>) {
        let (base, scale) = (vector.base, vector.scale)
        switch vector.elements {
        case .constant: out.update(repeating: Double(base), count: count)
        case .doubles(let doubles): out.update(from: doubles, count: count)
        case .integers(let integers): for at in 0..<count { out[at] = Double(integers[at]) }
        case .bytes(let codes): load(codes, base, scale, count, out)
        case .shorts(let codes): load(codes, base, scale, count, out)
        case .words(let codes): load(codes, base, scale, count, out)
        }
    }

    @inline(__always)
    private static func load<C: FixedWidthInteger & UnsignedInteger>(
        _ codes: UnsafePointer<C>, _ base: Int64, _ scale: Int64, _ count: Int, _ out: UnsafeMutablePointer<Double>
    ) {
        // Sums of 32-bit integers are exact as doubles, and quicker to make.
        if C.bitWidth <= 16, abs(base) < 1 << 31, scale < 1 << 31 {
            let (base, scale) = (Double(base), Double(scale))
            for at in 0..<count { out[at] = base + scale * Double(Int32(truncatingIfNeeded: codes[at])) }
        } else {
            for at in 0..<count { out[at] = Double(base &+ scale &* Int64(codes[at])) }
        }
    }

    private static func apply(_ function: Expression.Function, _ a: UnsafeMutablePointer<Double>, _ count: Int) {
        switch function {
        case .abs: for at in 0..<count { a[at] = a[at].magnitude }
        case .floor: for at in 0..<count { a[at] = a[at].rounded(.down) }
        case .ceil: for at in 0..<count { a[at] = a[at].rounded(.up) }
        case .round: for at in 0..<count { a[at] = a[at].rounded() }
        case .sqrt: for at in 0..<count { a[at] = a[at].squareRoot() }
        }
    }

    private static func apply(
        _ operation: Expression.Operation, _ a: UnsafeMutablePointer<Double>, _ b: UnsafePointer<Double>,
        _ count: Int, _ missing: UnsafeMutablePointer<UInt8>
    ) {
        switch operation {
        case .add: for at in 0..<count { a[at] += b[at] }
        case .subtract: for at in 0..<count { a[at] -= b[at] }
        case .multiply: for at in 0..<count { a[at] *= b[at] }
        case .divide:
            for at in 0..<count { a[at] /= b[at] }
            for at in 0..<count { missing[at] |= b[at] == 0 ? 1 : 0 }
        case .remainder:
            for at in 0..<count { a[at] = a[at].truncatingRemainder(dividingBy: b[at]) }
            for at in 0..<count { missing[at] |= b[at] == 0 ? 1 : 0 }
        }
    }
}
