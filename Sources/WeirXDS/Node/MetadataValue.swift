/// One value of a node's metadata: `google.protobuf.Value`.
public enum MetadataValue: Hashable, Sendable {
    /// `null_value`, and a value without any field.
    case null
    /// `bool_value`.
    case bool(Bool)
    /// `number_value`.
    case number(Double)
    /// `string_value`.
    case string(String)
    /// `list_value`.
    case list([MetadataValue])
    /// `struct_value`.
    case object([String: MetadataValue])

    /// The value as text, numbers as in JSON (`8080`, `0.5`), booleans as `true` and `false`. Nil for null, lists,
    /// objects, and numbers that JSON has no form for.
    public var text: String? {
        switch self {
        case .string(let value): value
        case .bool(let value): value ? "true" : "false"
        case .number(let value): MetadataValue.text(of: value)
        case .null, .list, .object: nil
        }
    }

    private static func text(of number: Double) -> String? {
        guard number.isFinite else { return nil }
        // Up to here every whole number is exact in a double, and prints without an exponent.
        guard number.magnitude < 9_007_199_254_740_992 else { return number.description }
        // Not `Int64(exactly:)`: that wants the C mathematics library, which a pure module does not link.
        let whole = Int64(number)
        return Double(whole) == number ? String(whole) : number.description
    }

    /// What stands at the end of `path`: names descend into objects, numbers into lists.
    ///
    /// Names of metadata may hold dots themselves (`app.kubernetes.io/name`), so several components together may name
    /// one entry; where both readings exist, the shorter name goes first. Visits each value at most once.
    public func value(at path: ArraySlice<String>) -> MetadataValue? {
        guard let first = path.first else { return self }
        switch self {
        case .list(let elements):
            guard let index = listIndex(first), index < elements.count else { return nil }
            return elements[index].value(at: path.dropFirst())
        case .object(let fields):
            var name = ""
            for end in path.indices {
                name += end == path.startIndex ? path[end] : "." + path[end]
                if let found = fields[name]?.value(at: path[(end + 1)...]) { return found }
            }
            return nil
        default: return nil
        }
    }
}

private func listIndex(_ text: String) -> Int? {
    guard text.utf8.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }), text == "0" || !text.hasPrefix("0") else { return nil }
    return Int(text)
}
