// Arithmetic over columns, compiled: steps on a stack of vectors of doubles.

// Unsafe: writes block buffers for as many rows as the reader has selected.

import CKernels

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
        _ program: ExpressionProgram, count: Int, reader: BlockReader, into result: UnsafeMutablePointer<Double>,
        _ nulls: UnsafeMutablePointer<UInt16>
    ) throws(Failure) -> BlockVector {
        let missing = missing.pointer(UInt64.self)
        missing.update(repeating: 0, count: (count + 63) / 64)
        var hasMissing = false
        var depth = 0
        var at = 0
        while at < program.steps.count {
            reader.prefetch()
            switch program.steps[at] {
            case .number(let number):
                // On the right of an operation it is taken as it is.
                if depth > 0, at + 1 < program.steps.count, case .binary(let operation) = program.steps[at + 1] {
                    let divides = operation == .divide || operation == .remainder
                    if divides, number == 0, count > 0 {
                        _ = FilterKernel(vector: BlockVector(elements: .constant), rowCount: count, bits: missing)
                            .fill(true)
                        hasMissing = true
                    }
                    Self.apply(operation, top(depth - 1, result), number, count)
                    at += 1
                } else {
                    top(depth, result).update(repeating: number, count: count)
                    depth += 1
                }
            case .slot(let slot):
                let vector = try reader.vector(slot)
                Self.load(vector, count, into: top(depth, result))
                for index in 0..<vector.nulls.count {
                    let row = vector.nulls[index]
                    missing[row &>> 6] |= 1 &<< UInt64(truncatingIfNeeded: row)
                }
                hasMissing = hasMissing || vector.nulls.count > 0
                depth += 1
            case .negate:
                let a = top(depth - 1, result)
                for at in 0..<count { a[at] = -a[at] }
            case .call(let function): Self.apply(function, top(depth - 1, result), count)
            case .binary(let operation):
                depth -= 1
                let isMissing = Self.apply(operation, top(depth - 1, result), top(depth, result), count, missing)
                hasMissing = hasMissing || isMissing
            }
            at += 1
        }
        let found = hasMissing ? Self.positions(missing, count, result, nulls) : .none
        return BlockVector(elements: .doubles(result), nulls: found)
    }

    /// The lowest place of the stack is where the result is to be.
    private func top(_ depth: Int, _ result: UnsafeMutablePointer<Double>) -> UnsafeMutablePointer<Double> {
        if depth == 0 { return result }
        while stack.count < depth { stack.append(BlockBuffer()) }
        return stack[depth - 1].pointer()
    }

    /// The marked rows, whose values become 0.
    private static func positions(
        _ missing: UnsafePointer<UInt64>, _ count: Int, _ result: UnsafeMutablePointer<Double>,
        _ positions: UnsafeMutablePointer<UInt16>
    ) -> BlockPositions {
        let found = ck_positions(missing, count, positions)
        for index in 0..<found { result[Int(positions[index])] = 0 }
        return found == 0 ? .none : BlockPositions(start: positions, count: found)
    }

    private static func load(_ vector: BlockVector, _ count: Int, into out: UnsafeMutablePointer<Double>) {
        let (base, scale) = (vector.base, vector.scale)
        // Sums of 32-bit integers are exact as doubles, and quicker to make.
        let isSmall = base.magnitude < 1 << 31 && scale < 1 << 31
        switch vector.elements {
        case .constant: out.update(repeating: Double(base), count: count)
        case .doubles(let doubles): out.update(from: doubles, count: count)
        case .integers(let integers): ck_doubles64(integers, count, out)
        case .bytes(let codes) where isSmall: ck_doubles8(codes, count, Double(base), Double(scale), out)
        case .shorts(let codes) where isSmall: ck_doubles16(codes, count, Double(base), Double(scale), out)
        case .bytes(let codes): for at in 0..<count { out[at] = Double(base &+ scale &* Int64(codes[at])) }
        case .shorts(let codes): for at in 0..<count { out[at] = Double(base &+ scale &* Int64(codes[at])) }
        case .words(let codes): ck_doubles32(codes, count, base, scale, out)
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

    /// Whether a row has become one without a value.
    private static func apply(
        _ operation: Expression.Operation, _ a: UnsafeMutablePointer<Double>, _ b: UnsafePointer<Double>,
        _ count: Int, _ missing: UnsafeMutablePointer<UInt64>
    ) -> Bool {
        switch operation {
        case .add: ck_add(a, b, count)
        case .subtract: ck_subtract(a, b, count)
        case .multiply: ck_multiply(a, b, count)
        case .divide: ck_divide(a, b, count)
        case .remainder: for at in 0..<count { a[at] = a[at].truncatingRemainder(dividingBy: b[at]) }
        }
        guard operation == .divide || operation == .remainder else { return false }
        return ck_mark_zeros(b, count, missing)
    }

    private static func apply(
        _ operation: Expression.Operation, _ a: UnsafeMutablePointer<Double>, _ number: Double, _ count: Int
    ) {
        switch operation {
        case .add: ck_add_number(a, number, count)
        case .subtract: ck_subtract_number(a, number, count)
        case .multiply: ck_multiply_number(a, number, count)
        case .divide: ck_divide_number(a, number, count)
        case .remainder: for at in 0..<count { a[at] = a[at].truncatingRemainder(dividingBy: number) }
        }
    }
}
