// Definitions under their names: usually one to a name, several where nodes made some without knowing of each other's.

/// Pure: two of them merge into the same one in any order, any number of times, each with what its owner has seen. A
/// definition that is missing where it was seen has been dropped; where it was not seen it is news.
package struct DefinitionSet<Definition: Sendable & Equatable>: Sendable, Equatable {
    package struct Entry: Sendable, Equatable {
        package var name: String
        package var id: DefinitionID
        package var definition: Definition

        package init(name: String, id: DefinitionID, definition: Definition) {
            self.name = name
            self.id = id
            self.definition = definition
        }
    }

    private var entries: [DefinitionID: Entry] = [:]
    /// Sorted; none of them empty.
    private var idsByName: [String: [DefinitionID]] = [:]

    package init() {}

    package var count: Int { entries.count }
    package var names: [String] { idsByName.keys.sorted() }
    package var ids: some Collection<DefinitionID> { entries.keys }
    package var all: some Collection<Entry> { entries.values }

    package var hasSeveralUnderOneName: Bool { entries.count > idsByName.count }

    /// By id.
    package func ids(named name: String) -> [DefinitionID] { idsByName[name] ?? [] }

    package subscript(id: DefinitionID) -> Entry? { entries[id] }

    package mutating func insert(_ entry: Entry) {
        guard entries.updateValue(entry, forKey: entry.id) == nil else { return }
        var ids = idsByName[entry.name] ?? []
        ids.insert(entry.id, at: ids.firstIndex { $0 > entry.id } ?? ids.count)
        idsByName[entry.name] = ids
    }

    @discardableResult
    package mutating func remove(_ id: DefinitionID) -> Entry? {
        guard let entry = entries.removeValue(forKey: id) else { return nil }
        let left = (idsByName[entry.name] ?? []).filter { $0 != id }
        idsByName[entry.name] = left.isEmpty ? nil : left
        return entry
    }

    package mutating func update(_ id: DefinitionID, _ change: (inout Definition) -> Void) {
        guard entries[id] != nil else { return }
        change(&entries[id]!.definition)
    }

    package struct Changes {
        package var added: [DefinitionID] = []
        package var changed: [DefinitionID] = []
        package var removed: [DefinitionID] = []
    }

    /// Takes in what another node says. `combine` joins two accounts of one definition, and answers whether that changed the
    /// first.
    package mutating func merge(
        _ others: [Entry], seenHere: SeenDefinitions, seenThere: SeenDefinitions,
        combine: (inout Definition, Definition) -> Bool
    ) -> Changes {
        var changes = Changes()
        let theirs = Set(others.map(\.id))
        for id in entries.keys where seenThere.contains(id) && !theirs.contains(id) { changes.removed.append(id) }
        for id in changes.removed { remove(id) }
        for other in others {
            if entries[other.id] != nil {
                if combine(&entries[other.id]!.definition, other.definition) { changes.changed.append(other.id) }
            } else if !seenHere.contains(other.id) {
                insert(other)
                changes.added.append(other.id)
            }
        }
        return changes
    }
}
