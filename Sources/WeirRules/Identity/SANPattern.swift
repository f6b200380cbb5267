import WeirBase
package import WeirRegex

/// A pattern for names in client certificates: `*` stays within one path segment (of a URI) or one label (of a DNS
/// name), `**` does not; everything else stands for itself.
package struct SANPattern: Hashable, Sendable {
    package let text: String
    private let pattern: Pattern

    package init(_ text: String) throws(PatternError) {
        let within = text.utf8.contains(UInt8(ascii: "/")) ? "[^/]*" : "[^.]*"
        // DNS names are the same in any case; URIs are not.
        var expression = text.utf8.contains(UInt8(ascii: ":")) ? "(?s)" : "(?si)"
        var rest = text[...]
        while let first = rest.first {
            if rest.hasPrefix("**") {
                expression += ".*"
                rest = rest.dropFirst(2)
            } else {
                expression += first == "*" ? within : SANPattern.quoted(first)
                rest = rest.dropFirst()
            }
        }
        self.text = text
        self.pattern = try Pattern(expression)
    }

    package func matches(_ name: String) -> Bool { self.pattern.fullMatch(name) != nil }

    /// The character as a pattern that matches it alone.
    private static func quoted(_ character: Character) -> String {
        guard let ascii = character.asciiValue, !isUnreserved(ascii) || ascii == UInt8(ascii: ".") else {
            return String(character)
        }
        return "\\x{" + String(ascii, radix: 16) + "}"
    }

    /// A text as a pattern that matches it alone.
    static func quoted(_ text: String) -> String { text.map { self.quoted($0) }.joined() }
}
