import WeirBase

/// How a rule writes its key: text, fields of the request and what its patterns caught.
package struct KeyTemplate: Hashable, Sendable {
    private enum Source: Hashable, Sendable {
        case request(RuleField)
        case capture(String)
    }

    private let template: FieldTemplate
    private let sources: [String: Source]

    /// `captures` are the names of the groups in the rule's patterns.
    package init(_ text: String, captures: [String] = []) throws(TemplateError) {
        guard !text.isEmpty else { throw TemplateError(description: "a key cannot be empty") }
        self.template = try FieldTemplate(text)
        var sources: [String: Source] = [:]
        for field in self.template.fields {
            if captures.contains(field.name) {
                sources[field.name] = .capture(field.name)
            } else if let known = RuleField(field.name) {
                sources[field.name] = .request(known)
            } else {
                throw KeyTemplate.unknown(field.name, captures)
            }
        }
        self.sources = sources
    }

    private static func unknown(_ name: String, _ captures: [String]) -> TemplateError {
        let hint = RuleField.hint(for: name, also: captures)
        return TemplateError(
            description: "\"{\(name)}\" is neither a field nor a named group of this rule's patterns"
                + (hint.map { "; did you mean \"{\($0)}\"?" } ?? ""))
    }

    package var text: String { self.template.text }

    package var dependsOnType: Bool { self.sources.values.contains(.request(.type)) }

    /// Whether it holds the client's verified name: `peer.san`, or what one of `captures` caught of it.
    func holdsPeerName(captures: [String]) -> Bool {
        self.sources.values.contains { source in
            switch source {
            case .request(let field): field == .peerSAN
            case .capture(let name): captures.contains(name)
            }
        }
    }

    /// Whether every request gets a key from it, whatever fields it lacks.
    var isTotal: Bool {
        self.template.fields.allSatisfy { $0.fallback != nil }
            && self.template.parts.contains { part in
                switch part {
                case .literal: true
                case .field(let field): field.fallback != ""
                }
            }
    }

    /// Pairs of fields between which nothing stands that a value could not contain itself: two nodes with different
    /// values may get one key from them.
    package var unseparatedFields: [(first: String, second: String)] {
        var pairs: [(String, String)] = []
        var last: String?
        for part in self.template.parts {
            switch part {
            case .field(let field):
                if let last { pairs.append((last, field.name)) }
                last = field.name
            // The percent sign is what encoding itself writes.
            case .literal(let text): if text.utf8.contains(where: { !isUnreserved($0) && $0 != 0x25 }) { last = nil }
            }
        }
        return pairs
    }

    enum Rendering: Hashable {
        case key(String)
        /// Why the rule cannot give a key.
        case missing(String)
    }

    /// The key for a request. `san` is the peer's name that the rule's pattern matched, if it has such a pattern.
    func render(_ request: RuleRequest, captures: [RuleCapture], san: String?) -> Rendering {
        var key = ""
        for part in self.template.parts {
            switch part {
            case .literal(let text): key += text
            case .field(let field):
                switch self.value(of: field.name, request, captures, san) {
                case .value(let value) where !value.isEmpty: appendPercentEncoded(value, to: &key)
                case let value:
                    guard let fallback = field.fallback else {
                        return .missing(KeyTemplate.reason(field.name, value))
                    }
                    key += fallback
                }
            }
        }
        return key.isEmpty ? .missing("the key would be empty") : .key(key)
    }

    private static func reason(_ name: String, _ value: FieldValue) -> String {
        if case .missing(let why) = value { return "the key needs \(name), which \(why)" }
        return "the key needs \(name), which is empty"
    }

    private func value(
        of name: String, _ request: RuleRequest, _ captures: [RuleCapture], _ san: String?
    ) -> FieldValue {
        switch self.sources[name] {
        case .capture(let group): FieldValue(captures.first { $0.name == group }?.value ?? "")
        case .request(.peerSAN): FieldValue(san ?? request.peerSANs.first ?? "")
        case .request(let field): field.value(in: request)
        case nil: .missing("is missing")
        }
    }
}
