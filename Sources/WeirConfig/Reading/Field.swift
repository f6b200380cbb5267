import WeirBase
import WeirYAML

/// One value of a file under its name, with the readers for what it may be. A reader that fails says so and gives nil.
struct Field {
    /// `downstream.listeners[0].address`.
    let path: String
    let node: YAMLNode
    let context: ReadingContext

    func error(_ message: String) {
        self.context.report(.error, at: self.node.place, self.path, message)
    }

    func warning(_ message: String) {
        self.context.report(.warning, at: self.node.place, self.path, message)
    }

    private func wrongType(_ expected: String) {
        let isQuotable = if case .scalar(let scalar) = self.node.content { scalar.style == .plain } else { false }
        let hint = expected == "text" && isQuotable ? "; put it in quotes" : ""
        self.error("expected \(expected), not \(self.node.kindDescription)\(hint)")
    }

    private var isSubstituted: Bool { self.context.isSubstituted(self.node.place) }

    /// What the scalar means, not minding quotes around a value of the environment.
    var untypedValue: YAMLScalar.Value? {
        guard var scalar = self.node.scalar else { return nil }
        if self.isSubstituted { scalar.style = .plain }
        return scalar.resolved
    }

    /// Text, of whatever length.
    func text() -> String? {
        if case .string(let text) = self.node.scalar?.resolved { return text }
        if self.isSubstituted, let scalar = self.node.scalar { return scalar.text }
        self.wrongType("text")
        return nil
    }

    func nonEmptyText() -> String? {
        guard let text = self.text() else { return nil }
        if text.isEmpty { self.error("it cannot be empty") }
        return text.isEmpty ? nil : text
    }

    /// A scalar as it is written: for patterns, where `8080` need not stand in quotes.
    func writtenText() -> String? {
        if let scalar = self.node.scalar, scalar.resolved != .null { return scalar.text }
        self.wrongType("text")
        return nil
    }

    func integer(_ range: ClosedRange<Int>) -> Int? {
        guard case .int(let value) = self.untypedValue else {
            self.wrongType("a whole number")
            return nil
        }
        guard let value = Int(exactly: value), range.contains(value) else {
            self.error("\(value) is not between \(range.lowerBound) and \(range.upperBound)")
            return nil
        }
        return value
    }

    func flag() -> Bool? {
        if case .bool(let value) = self.untypedValue { return value }
        self.wrongType("true or false")
        return nil
    }

    func choice<Choice: RawRepresentable<String> & CaseIterable>(_ type: Choice.Type) -> Choice? {
        guard let text = self.text() else { return nil }
        if let choice = Choice(rawValue: text) { return choice }
        let names = Choice.allCases.map(\.rawValue)
        self.error("\"\(text)\" is none of \(quotedList(names))\(didYouMean(text, names))")
        return nil
    }

    /// The elements of a list, each under its number.
    func list() -> [Field]? {
        guard let elements = self.node.sequence else {
            self.wrongType("a list")
            return nil
        }
        return elements.enumerated().map { index, node in
            Field(path: "\(self.path)[\(index)]", node: node, context: self.context)
        }
    }

    func nonEmptyList() -> [Field]? {
        guard let elements = self.list() else { return nil }
        if elements.isEmpty { self.error("it needs at least one element") }
        return elements.isEmpty ? nil : elements
    }

    /// A mapping whose keys are names of fields; unknown ones are reported.
    func section(_ known: [String], spelling: Section.Spelling = .asWritten) -> Section? {
        guard self.requireMapping() != nil else { return nil }
        return Section(self, known: known, spelling: spelling)
    }

    /// A mapping whose keys are the operator's own, in file order.
    func entries() -> [(name: String, place: SourcePlace, field: Field)]? {
        self.requireMapping()?.map { entry in
            (entry.key, entry.keyPlace, self.child(entry.key, entry.value))
        }
    }

    private func requireMapping() -> [YAMLEntry]? {
        if let entries = self.node.mapping { return entries }
        self.wrongType("a mapping")
        return nil
    }

    func child(_ name: String, _ node: YAMLNode) -> Field {
        Field(path: self.path.isEmpty ? name : "\(self.path).\(name)", node: node, context: self.context)
    }
}

/// `"a", "b"`.
func quotedList(_ names: [String]) -> String { names.map { "\"\($0)\"" }.joined(separator: ", ") }

/// `; did you mean "x"?`, or nothing if no name is close.
func didYouMean(_ name: String, _ names: [String]) -> String {
    nearestName(to: name, among: names).map { "; did you mean \"\($0)\"?" } ?? ""
}
