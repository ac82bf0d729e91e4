// Scripts that declare no object type and answer keys all the same: functions by the names of a type and a method.

/// An immutable set of scripts that share their globals. Which files are such says whoever runs them: see `assess`.
package struct HandlerScripts: Sendable, Equatable {
    let scripts: [ObjectScript]
    /// The handlers' names by the name of their table, which is the type that keys name.
    package let methods: [String: Set<String>]

    /// A file's name without its ending; nil where that cannot be a type.
    static func stem(of file: String) -> String? {
        guard file.hasSuffix(".lua") else { return nil }
        let stem = String(file.dropLast(4))
        return LoadedType.isName(stem) ? stem : nil
    }
}
