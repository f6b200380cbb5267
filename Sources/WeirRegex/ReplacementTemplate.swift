/// A replacement text with references to groups, as Go's `regexp` package expands it.
///
/// `$name` takes the longest run of letters, digits and `_`, so that `$1x` is the group *named* `1x`; `${1}x` is the
/// first group and an `x`. `$$` is a dollar. A reference to a group that there is not, or that took no part, is empty;
/// a dollar that begins no reference stands for itself.
struct ReplacementTemplate {
    private enum Part {
        case literal(String)
        case number(Int)
        case name(String)
    }

    private var parts: [Part] = []

    init(_ text: String) {
        var rest = text.unicodeScalars[...]
        while let dollar = rest.firstIndex(of: "$") {
            self.parts.append(.literal(String(rest[..<dollar])))
            rest = rest[dollar...].dropFirst()
            if rest.first == "$" {
                self.parts.append(.literal("$"))
                rest = rest.dropFirst()
            } else if let name = ReplacementTemplate.reference(&rest) {
                self.parts.append(ReplacementTemplate.number(name).map { .number($0) } ?? .name(name))
            } else {
                self.parts.append(.literal("$"))
            }
        }
        self.parts.append(.literal(String(rest)))
    }

    /// Names and numbers of the groups that are referred to.
    var references: [String] {
        self.parts.compactMap { part in
            switch part {
            case .literal: nil
            case .number(let number): String(number)
            case .name(let name): name
            }
        }
    }

    /// Takes `name` or `{name}` off the front; nil, and nothing taken, if neither stands there.
    private static func reference(_ rest: inout Substring.UnicodeScalarView) -> String? {
        let isBraced = rest.first == "{"
        let inner = isBraced ? rest.dropFirst() : rest
        let name = inner.prefix { $0 == "_" || $0.isLetterOrDigit }
        guard !name.isEmpty else { return nil }
        var after = inner[name.endIndex...]
        if isBraced {
            guard after.first == "}" else { return nil }
            after = after.dropFirst()
        }
        rest = after
        return String(name)
    }

    /// The number of a group; leading zeros and nine digits or more make it a name.
    static func number(_ name: String) -> Int? {
        guard name.utf8.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }), name.utf8.count <= 9 else { return nil }
        if name.utf8.count > 1, name.hasPrefix("0") { return nil }
        return Int(name)
    }

    /// Appends the expansion for one match; `spans` holds the whole match first, `names` begins with the first group.
    func expand(
        into result: inout [UInt8], text: UnsafeBufferPointer<UInt8>, spans: [Range<Int>?], names: [String?]
    ) {
        for part in self.parts {
            let span: Range<Int>?
            switch part {
            case .literal(let literal):
                result.append(contentsOf: literal.utf8)
                continue
            case .number(let number): span = number < spans.count ? spans[number] : nil
            case .name(let name): span = zip(names, spans.dropFirst()).first { $0 == name && $1 != nil }?.1
            }
            if let span { unsafe result.append(contentsOf: text[span]) }
        }
    }
}

extension Unicode.Scalar {
    fileprivate var isLetterOrDigit: Bool {
        switch self.properties.generalCategory {
        case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter, .decimalNumber: true
        default: false
        }
    }
}
