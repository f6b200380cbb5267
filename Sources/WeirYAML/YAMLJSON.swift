import WeirBase

/// JSON text of a tree, for readers that know JSON only (protobuf's JSON form among them).
///
/// Numbers are written as JSON numbers, whole ones exactly; infinities and NaN as protobuf's JSON form spells them, in
/// quotes. Recursion is bounded by the depth that the tree was read with.
package func jsonText(of node: YAMLNode) -> String {
    var text = ""
    appendJSON(node, to: &text)
    return text
}

private func appendJSON(_ node: YAMLNode, to text: inout String) {
    switch node.content {
    case .scalar(let scalar): appendJSON(scalar, to: &text)
    case .sequence(let elements):
        text += "["
        for (i, element) in elements.enumerated() {
            if i > 0 { text += "," }
            appendJSON(element, to: &text)
        }
        text += "]"
    case .mapping(let entries):
        text += "{"
        for (i, entry) in entries.enumerated() {
            if i > 0 { text += "," }
            appendJSONString(entry.key, to: &text)
            text += ":"
            appendJSON(entry.value, to: &text)
        }
        text += "}"
    }
}

private func appendJSON(_ scalar: YAMLScalar, to text: inout String) {
    switch scalar.resolved {
    case .null: text += "null"
    case .bool(let value): text += value ? "true" : "false"
    case .int(let value): text += String(value)
    case .float(let value) where value.isNaN: text += "\"NaN\""
    case .float(let value) where value.isInfinite: text += value < 0 ? "\"-Infinity\"" : "\"Infinity\""
    case .float(let value): text += value.description
    case .string(let value): appendJSONString(value, to: &text)
    }
}
