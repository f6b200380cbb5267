/// Why a text is no template.
package struct TemplateError: Error, Hashable, Sendable, CustomStringConvertible {
    package var description: String
}

/// A text with `{field}` and `{field:-default}` in it. What a name means is up to who uses the template.
struct FieldTemplate: Hashable, Sendable {
    struct Field: Hashable, Sendable {
        var name: String
        /// Stands in for a missing value; nil if there is none.
        var fallback: String?
    }

    enum Part: Hashable, Sendable {
        case literal(String)
        case field(Field)
    }

    let text: String
    let parts: [Part]

    init(_ text: String) throws(TemplateError) {
        var parts: [Part] = []
        var rest = text[...]
        while let brace = rest.firstIndex(where: { $0 == "{" || $0 == "}" }) {
            if brace > rest.startIndex { parts.append(.literal(String(rest[..<brace]))) }
            guard rest[brace] == "{" else { throw TemplateError(description: "a \"}\" without a \"{\" before it") }
            let inner = rest[brace...].dropFirst()
            guard let end = inner.firstIndex(where: { $0 == "{" || $0 == "}" }), inner[end] == "}" else {
                throw TemplateError(description: "a \"{\" without its \"}\"")
            }
            parts.append(.field(try FieldTemplate.field(inner[..<end])))
            rest = inner[end...].dropFirst()
        }
        if !rest.isEmpty { parts.append(.literal(String(rest))) }
        self.text = text
        self.parts = parts
    }

    private static func field(_ inner: Substring) throws(TemplateError) -> Field {
        let name: Substring
        var fallback: String?
        if let mark = inner.firstRange(of: ":-") {
            name = inner[..<mark.lowerBound]
            fallback = String(inner[mark.upperBound...])
        } else {
            name = inner
        }
        guard !name.isEmpty else { throw TemplateError(description: "\"{\(inner)}\" names no field") }
        return Field(name: String(name), fallback: fallback)
    }

    var fields: [Field] {
        self.parts.compactMap { part in
            guard case .field(let field) = part else { return nil }
            return field
        }
    }
}

extension Substring {
    /// The first place of `text`, character by character; enough for two ASCII characters.
    fileprivate func firstRange(of text: String) -> Range<Index>? {
        for start in self.indices where self[start...].hasPrefix(text) {
            return start..<self.index(start, offsetBy: text.count)
        }
        return nil
    }
}
