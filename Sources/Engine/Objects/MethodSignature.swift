// How many arguments a method takes, and its form: what is said to a caller who gave too few of them, or too many.

/// The parameters of one method, its object left out.
package struct MethodSignature: Sendable, Equatable {
    package let parameters: [String]
    /// So many have to be given; the others may be missing. Nil where the type does not say: the method sees to that.
    package let least: Int?
    /// It takes more than it names.
    package let isOpen: Bool

    package init(parameters: [String] = [], least: Int? = nil, isOpen: Bool = false) {
        self.parameters = parameters
        self.least = least
        self.isOpen = isOpen
    }

    var argumentsMin: Int { least ?? 0 }
    var argumentsMax: Int { isOpen ? Int(Int32.max) : parameters.count }

    /// `map:put:NAME:KEY:VALUE`, `list:new:NAME[:SIZE]`.
    package func form(_ prefix: String) -> String {
        var form = prefix
        var brackets = 0
        for (at, parameter) in parameters.enumerated() {
            let mayBeMissing = at >= least ?? .max
            form += (mayBeMissing ? "[:" : ":") + parameter.uppercased()
            brackets += mayBeMissing ? 1 : 0
        }
        if isOpen { form += parameters.count < argumentsMin ? ":VALUE[:…]" : "[:…]" }
        return form + String(repeating: "]", count: brackets)
    }

    /// - Parameter prefix: the part of the form that comes before the arguments: `map:put:NAME`.
    /// - Throws: `script_error` when so many arguments are too few or too many.
    package func check(_ count: Int, prefix: String) throws(Failure) {
        guard count < argumentsMin || count > argumentsMax else { return }
        throw failure(count, prefix: prefix)
    }

    func failure(_ count: Int, prefix: String) -> Failure {
        let method = prefix.split(separator: ":").prefix(2).joined(separator: ":")
        let least = argumentsMin
        let takes =
            isOpen
            ? "\(least) or more"
            : self.least != nil && least < parameters.count ? "\(least) to \(parameters.count)" : "\(parameters.count)"
        let isOne = takes == "1"
        var message = "\(method) takes \(takes) argument\(isOne ? "" : "s"), not \(count): \(form(prefix))"
        if count > argumentsMax, !parameters.isEmpty {
            var block = prefix
            for parameter in parameters.dropLast() { block += ":" + parameter.uppercased() }
            message += "; escape a colon in one as %3A, or use set \(block)"
        }
        return Failure(.scriptError, message)
    }
}
