package import WeirBase

/// One value of a YAML (or JSON) file with the place where it stands.
///
/// Aliases are already replaced by what they stand for; such a node keeps the place of the anchored original.
package struct YAMLNode: Hashable, Sendable {
    package var place: SourcePlace
    package var content: Content

    package enum Content: Hashable, Sendable {
        case scalar(YAMLScalar)
        case sequence([YAMLNode])
        /// In file order; no two entries have the same key.
        case mapping([YAMLEntry])
    }

    package init(place: SourcePlace, content: Content) {
        self.place = place
        self.content = content
    }
}

/// One `key: value` of a mapping. Keys are scalars, and text whatever their style.
package struct YAMLEntry: Hashable, Sendable {
    package var key: String
    package var keyPlace: SourcePlace
    package var value: YAMLNode

    package init(key: String, keyPlace: SourcePlace, value: YAMLNode) {
        self.key = key
        self.keyPlace = keyPlace
        self.value = value
    }
}

extension YAMLNode {
    package var scalar: YAMLScalar? {
        guard case .scalar(let scalar) = self.content else { return nil }
        return scalar
    }

    package var sequence: [YAMLNode]? {
        guard case .sequence(let elements) = self.content else { return nil }
        return elements
    }

    package var mapping: [YAMLEntry]? {
        guard case .mapping(let entries) = self.content else { return nil }
        return entries
    }

    /// Whether the node is a scalar that means null, as is a value that was left out (`key:`).
    package var isNull: Bool { self.scalar?.resolved == .null }

    /// The value under `key` if this is a mapping that has it. Linear in the number of entries.
    package subscript(key: String) -> YAMLNode? {
        self.mapping?.first { $0.key == key }?.value
    }

    /// What the node is, for messages: `a mapping`, `a list`, `null`, `the number 5`, `the text "x"`.
    package var kindDescription: String {
        switch self.content {
        case .mapping: "a mapping"
        case .sequence: "a list"
        case .scalar(let scalar): scalar.kindDescription
        }
    }
}
