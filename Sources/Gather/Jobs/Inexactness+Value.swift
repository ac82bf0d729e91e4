// By what shares columns may be off, as it travels and as the envelope says it.

import Engine

extension Inexactness {
    /// `{column: share, …}`, sorted.
    var relativeErrorsValue: Value {
        .map(relativeErrors.sorted { $0.key < $1.key }.map { Value.Pair(.string($0.key), .double($0.value)) })
    }

    /// Nil for what can be no shares.
    static func relativeErrors(value: Value) -> [String: Double]? {
        guard case .map(let pairs) = value else { return nil }
        var errors: [String: Double] = [:]
        for pair in pairs {
            guard let column = pair.key.text, case .double(let share) = pair.value, share.isFinite, share >= 0,
                errors.updateValue(share, forKey: column) == nil
            else { return nil }
        }
        return errors
    }
}
