/// A JSON document as a tree. Members keep their order, numbers their text, so that what is written again says the same.
package indirect enum JSONValue: Hashable, Sendable {
    case null
    case bool(Bool)
    /// As it stood in the text.
    case number(String)
    case string(String)
    case array([JSONValue])
    case object([JSONMember])
}

package struct JSONMember: Hashable, Sendable {
    package var name: String
    package var value: JSONValue

    package init(_ name: String, _ value: JSONValue) {
        self.name = name
        self.value = value
    }
}

extension JSONValue {
    /// The first member of that name, if this is an object that has one. Linear in the number of members.
    package subscript(name: String) -> JSONValue? {
        guard case .object(let members) = self else { return nil }
        return members.first { $0.name == name }?.value
    }

    /// Empty for what is no object.
    package var members: [JSONMember] {
        guard case .object(let members) = self else { return [] }
        return members
    }

    /// Empty for what is no array.
    package var elements: [JSONValue] {
        guard case .array(let elements) = self else { return [] }
        return elements
    }

    package var string: String? {
        guard case .string(let text) = self else { return nil }
        return text
    }

    package var int: Int? {
        guard case .number(let text) = self else { return nil }
        return Int(text)
    }

    package var bool: Bool? {
        guard case .bool(let flag) = self else { return nil }
        return flag
    }

    /// Writes the value as JSON again.
    package func write(to json: inout JSONWriter) {
        switch self {
        case .null: json.null()
        case .bool(let flag): json.value(flag)
        case .number(let text): json.raw(Array(text.utf8))
        case .string(let text): json.value(text)
        case .array(let elements): json.array { for element in elements { element.write(to: &$0) } }
        case .object(let members):
            json.object {
                for member in members {
                    $0.key(member.name)
                    member.value.write(to: &$0)
                }
            }
        }
    }
}
