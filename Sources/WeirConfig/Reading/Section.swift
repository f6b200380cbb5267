import WeirBase
import WeirYAML

/// A mapping with known fields.
struct Section {
    enum Spelling {
        case asWritten
        /// Names in `snake_case` and, as protobuf's JSON form allows, in `camelCase`.
        case protobuf
    }

    let field: Field
    private var fields: [String: Field] = [:]

    init(_ field: Field, known: [String], spelling: Spelling) {
        self.field = field
        for entry in field.node.mapping ?? [] {
            let name = spelling == .protobuf ? snakeCase(entry.key) : entry.key
            let child = field.child(entry.key, entry.value)
            guard known.contains(name) else {
                self.reportUnknown(child.path, entry, among: known)
                continue
            }
            if self.fields[name] != nil {
                field.context.report(.error, at: entry.keyPlace, child.path, "the field is repeated")
            }
            // A field without a value is a field that is not there.
            if entry.value.isNull { continue }
            self.fields[name] = child
        }
    }

    private func reportUnknown(_ path: String, _ entry: YAMLEntry, among known: [String]) {
        let hint = didYouMean(entry.key, known)
        self.field.context.report(
            .error, at: entry.keyPlace, path,
            "unknown field" + (hint.isEmpty ? "; known are \(quotedList(known))" : hint))
    }

    subscript(name: String) -> Field? { self.fields[name] }

    /// The field, or an error that it is missing.
    func require(_ name: String) -> Field? {
        if let field = self.fields[name] { return field }
        let path = self.field.path.isEmpty ? name : "\(self.field.path).\(name)"
        self.field.context.report(.error, at: self.field.node.place, path, "this field is required")
        return nil
    }

    /// Puts a field's value into `target` if the field is there and good.
    func read<Value>(_ name: String, into target: inout Value, _ reader: (Field) -> Value?) {
        if let field = self.fields[name], let value = reader(field) { target = value }
    }

    /// The same for a value that may be absent.
    func read<Value>(_ name: String, into target: inout Value?, _ reader: (Field) -> Value?) {
        if let field = self.fields[name], let value = reader(field) { target = value }
    }

    /// The one field of `names` that is there; none or several are an error.
    func exactlyOne(of names: [String]) -> (name: String, field: Field)? {
        let present = names.filter { self.fields[$0] != nil }
        if present.count == 1, let field = self.fields[present[0]] { return (present[0], field) }
        let found = present.isEmpty ? "none" : quotedList(present)
        self.field.error("it needs exactly one of \(quotedList(names)); it has \(found)")
        return nil
    }
}

/// `stringFragment` as `string_fragment`.
private func snakeCase(_ name: String) -> String {
    var result = ""
    for character in name {
        if character.isASCII, character.isUppercase {
            result += "_" + character.lowercased()
        } else {
            result.append(character)
        }
    }
    return result
}
