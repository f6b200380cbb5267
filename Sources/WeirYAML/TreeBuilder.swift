import WeirBase

/// Makes the tree of a file's events, collecting what is wrong on the way.
struct TreeBuilder {
    /// A mapping or list that is still open.
    ///
    /// Plain fields and no enum with payloads: those would copy the whole array for each element.
    private struct Open {
        var isMapping: Bool
        var elements: [YAMLNode] = []
        var entries: [YAMLEntry] = []
        /// The lines of the keys so far.
        var keys: [String: Int] = [:]
        var pending: PendingKey?
        var place: SourcePlace
        var anchor: String?
        /// What there was when it began.
        var before: Size
    }

    private struct PendingKey {
        var text: String
        var place: SourcePlace
        /// A repeated key, or one that is not a scalar: its value is read and dropped.
        var isDropped: Bool
    }

    private struct Anchored {
        var node: YAMLNode
        var size: Size
    }

    /// What counts against the limits.
    private struct Size {
        var nodes = 0
        var textBytes = 0

        static func - (a: Size, b: Size) -> Size {
            Size(nodes: a.nodes - b.nodes, textBytes: a.textBytes - b.textBytes)
        }
    }

    private let file: String
    private let limits: YAMLLimits
    private var open: [Open] = []
    private var anchors: [String: Anchored] = [:]
    private var size = Size()
    private var documents = 0
    private var root: YAMLNode?
    private var diagnostics: [Diagnostic] = []

    init(file: String, limits: YAMLLimits) {
        self.file = file
        self.limits = limits
    }

    mutating func report(_ message: String, at mark: Mark) {
        self.report(message, at: self.place(mark))
    }

    private mutating func report(_ message: String, at place: SourcePlace) {
        self.diagnostics.append(Diagnostic(.error, at: place, message))
    }

    private func place(_ mark: Mark) -> SourcePlace {
        SourcePlace(file: self.file, line: mark.line + 1, column: mark.column + 1)
    }

    /// The tree, or everything that was wrong.
    func finish() throws(YAMLFailure) -> YAMLNode {
        guard self.diagnostics.isEmpty else { throw YAMLFailure(diagnostics: self.diagnostics) }
        let nothing = YAMLNode.Content.scalar(YAMLScalar(text: "", style: .plain))
        return self.root ?? YAMLNode(place: self.place(Mark(line: 0, column: 0)), content: nothing)
    }

    /// Takes one event; false when there is nothing more to read, be it at the end or at a limit.
    mutating func take(_ event: Event) -> Bool {
        switch event.kind {
        case .other: return true
        case .streamEnd: return false
        case .documentStart:
            self.documents += 1
            if self.documents == 1 { return true }
            self.report("a second document begins here; a file holds one", at: event.mark)
            return false
        case .alias(let name): return self.alias(name, event)
        case .scalar(let scalar): return self.scalar(scalar, event)
        case .sequenceStart: return self.begin(isMapping: false, event)
        case .mappingStart: return self.begin(isMapping: true, event)
        case .sequenceEnd, .mappingEnd: return self.end()
        }
    }

    private mutating func count(_ more: Size, _ mark: Mark) -> Bool {
        guard more.nodes <= self.limits.nodes - self.size.nodes else {
            self.report("more than \(self.limits.nodes) values, counting what each alias stands for", at: mark)
            return false
        }
        guard more.textBytes <= self.limits.textBytes - self.size.textBytes else {
            let limit = self.limits.textBytes
            self.report("more than \(limit) bytes of text, counting what each alias stands for", at: mark)
            return false
        }
        self.size.nodes += more.nodes
        self.size.textBytes += more.textBytes
        return true
    }

    private mutating func scalar(_ scalar: YAMLScalar, _ event: Event) -> Bool {
        let size = Size(nodes: 1, textBytes: scalar.text.utf8.count)
        guard self.count(size, event.mark) else { return false }
        var scalar = scalar
        switch event.tag {
        case nil: break
        case "!", "tag:yaml.org,2002:str": if scalar.style == .plain { scalar.style = .quoted }
        case "tag:yaml.org,2002:int", "tag:yaml.org,2002:float", "tag:yaml.org,2002:bool", "tag:yaml.org,2002:null":
            scalar.style = .plain
        case let tag?: self.reportTag(tag, event.mark)
        }
        let node = YAMLNode(place: self.place(event.mark), content: .scalar(scalar))
        if let anchor = event.anchor { self.anchors[anchor] = Anchored(node: node, size: size) }
        self.place(node)
        return true
    }

    private mutating func reportTag(_ tag: String, _ mark: Mark) {
        self.report("the tag \"\(tag)\" is not known; only those of YAML's core schema are", at: mark)
    }

    private mutating func alias(_ name: String, _ event: Event) -> Bool {
        guard let anchored = self.anchors[name] else {
            let isOpen = self.open.contains { $0.anchor == name }
            let reason = isOpen ? "stands inside what it names" : "names no anchor above it"
            self.report("the alias *\(name) \(reason)", at: event.mark)
            return false
        }
        guard self.count(anchored.size, event.mark) else { return false }
        self.place(anchored.node)
        return true
    }

    private mutating func begin(isMapping: Bool, _ event: Event) -> Bool {
        guard self.open.count < self.limits.depth else {
            self.report("mappings and lists nest deeper than \(self.limits.depth)", at: event.mark)
            return false
        }
        let before = self.size
        guard self.count(Size(nodes: 1), event.mark) else { return false }
        switch event.tag {
        case nil, "!", "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq": break
        case let tag?: self.reportTag(tag, event.mark)
        }
        if let anchor = event.anchor { self.anchors[anchor] = nil }
        self.open.append(
            Open(isMapping: isMapping, place: self.place(event.mark), anchor: event.anchor, before: before))
        return true
    }

    private mutating func end() -> Bool {
        guard let done = self.open.popLast() else { return false }
        let content: YAMLNode.Content = done.isMapping ? .mapping(done.entries) : .sequence(done.elements)
        let node = YAMLNode(place: done.place, content: content)
        if let anchor = done.anchor {
            self.anchors[anchor] = Anchored(node: node, size: self.size - done.before)
        }
        self.place(node)
        return true
    }

    /// Puts a finished node where it belongs: as an element, a key, a value, or the root.
    private mutating func place(_ node: YAMLNode) {
        let innermost = self.open.count - 1
        guard innermost >= 0 else {
            self.root = node
            return
        }
        guard self.open[innermost].isMapping else {
            self.open[innermost].elements.append(node)
            return
        }
        guard let key = self.open[innermost].pending else {
            self.open[innermost].pending = self.key(node, in: innermost)
            return
        }
        self.open[innermost].pending = nil
        if key.isDropped { return }
        self.open[innermost].entries.append(YAMLEntry(key: key.text, keyPlace: key.place, value: node))
        self.open[innermost].keys[key.text] = key.place.line
    }

    private mutating func key(_ node: YAMLNode, in mapping: Int) -> PendingKey {
        guard let text = node.scalar?.text else {
            self.report("a key must be text, not \(node.kindDescription)", at: node.place)
            return PendingKey(text: "", place: node.place, isDropped: true)
        }
        let first = self.open[mapping].keys[text]
        if let first { self.report("the key \"\(text)\" is repeated (first on line \(first))", at: node.place) }
        return PendingKey(text: text, place: node.place, isDropped: first != nil)
    }
}
