package import WeirBase
package import WeirXDS
import WeirRegex

/// Why a matcher cannot be used.
package struct MatcherError: Error, Hashable, Sendable, CustomStringConvertible {
    package let description: String

    init(_ description: String) { self.description = description }
}

/// `envoy.type.matcher.v3.NodeMatcher`: a condition on a node's id and metadata.
package struct NodeMatcher: Sendable {
    private var id: StringMatcher?
    private var metadata: [StructMatcher] = []

    /// How deep matchers may nest, how many there may be in one message, and how many regular expressions.
    package static let depthMax = 16
    package static let countMax = 256
    package static let patternsMax = 32

    /// Reads the matchers of a request together, as the bounds are for all of them.
    package static func read(
        _ ranges: [ByteRange], in bytes: borrowing Span<UInt8>
    ) throws(MatcherError) -> [NodeMatcher] {
        var reader = MatcherReader()
        var matchers: [NodeMatcher] = []
        for range in ranges { matchers.append(try reader.node(range, bytes, depth: 0)) }
        return matchers
    }

    fileprivate init() {}

    fileprivate mutating func set(id: StringMatcher) { self.id = id }
    fileprivate mutating func add(_ matcher: StructMatcher) { self.metadata.append(matcher) }

    /// Whether all that it asks for holds.
    package func matches(_ node: Node) -> Bool {
        if let id = self.id, !id.matches(node.id) { return false }
        return self.metadata.allSatisfy { $0.matches(node.metadata) }
    }
}

/// `StringMatcher`.
private struct StringMatcher: Sendable {
    enum Kind: Sendable {
        case exact(String)
        case prefix(String)
        case suffix(String)
        case contains(String)
        case pattern(Pattern)
    }

    var kind = Kind.exact("")
    var ignoresCase = false

    func matches(_ value: String) -> Bool {
        func folded(_ text: String) -> String { self.ignoresCase ? text.lowercased() : text }
        switch self.kind {
        case .exact(let text): return folded(value) == folded(text)
        case .prefix(let text): return folded(value).utf8.starts(with: folded(text).utf8)
        case .suffix(let text): return folded(value).utf8.reversed().starts(with: folded(text).utf8.reversed())
        case .contains(let text): return text.isEmpty || !folded(value).ranges(of: folded(text)).isEmpty
        case .pattern(let pattern): return pattern.fullMatch(value) != nil
        }
    }
}

/// `StructMatcher`: a value at a path of the metadata.
private struct StructMatcher: Sendable {
    var path: [String] = []
    var value = ValueMatcher.never

    func matches(_ metadata: [String: MetadataValue]) -> Bool {
        var found: MetadataValue? = .object(metadata)
        for key in self.path {
            guard case .object(let fields)? = found else {
                found = nil
                break
            }
            found = fields[key]
        }
        return self.value.matches(found)
    }
}

/// `ValueMatcher`.
private indirect enum ValueMatcher: Sendable {
    case null
    case exactNumber(Double)
    /// From the first to before the second.
    case range(Double, Double)
    case string(StringMatcher)
    case bool(Bool)
    case present(Bool)
    case oneOf(ValueMatcher)
    case any([ValueMatcher])
    case never

    func matches(_ value: MetadataValue?) -> Bool {
        switch (self, value) {
        case (.null, .null?): return true
        case (.exactNumber(let wanted), .number(let number)?): return number == wanted
        case (.range(let start, let end), .number(let number)?): return number >= start && number < end
        case (.string(let matcher), .string(let text)?): return matcher.matches(text)
        case (.bool(let wanted), .bool(let bool)?): return bool == wanted
        case (.present(let wanted), _): return (value != nil) == wanted
        case (.oneOf(let matcher), .list(let elements)?): return elements.contains { matcher.matches($0) }
        case (.any(let matchers), _): return matchers.contains { $0.matches(value) }
        default: return false
        }
    }
}

/// Reads matchers within their bounds.
private struct MatcherReader {
    private var count = 0
    private var patterns = 0

    private mutating func enter(_ depth: Int) throws(MatcherError) {
        self.count += 1
        guard depth <= NodeMatcher.depthMax else {
            throw MatcherError("the matchers nest deeper than \(NodeMatcher.depthMax)")
        }
        guard self.count <= NodeMatcher.countMax else {
            throw MatcherError("there are more than \(NodeMatcher.countMax) matchers")
        }
    }

    mutating func node(
        _ range: ByteRange, _ bytes: borrowing Span<UInt8>, depth: Int
    ) throws(MatcherError) -> NodeMatcher {
        try self.enter(depth)
        var matcher = NodeMatcher()
        var fields = MatcherFields(range)
        while let field = try fields.next(bytes) {
            switch field.number {
            case 1: matcher.set(id: try self.string(try field.content(), bytes, depth: depth + 1))
            case 2: matcher.add(try self.structure(try field.content(), bytes, depth: depth + 1))
            default: break
            }
        }
        return matcher
    }

    private mutating func structure(
        _ range: ByteRange, _ bytes: borrowing Span<UInt8>, depth: Int
    ) throws(MatcherError) -> StructMatcher {
        try self.enter(depth)
        var matcher = StructMatcher()
        var fields = MatcherFields(range)
        while let field = try fields.next(bytes) {
            switch field.number {
            case 2: matcher.path.append(try Self.text(1, try field.content(), bytes))
            case 3: matcher.value = try self.value(try field.content(), bytes, depth: depth + 1)
            default: break
            }
        }
        guard !matcher.path.isEmpty else { throw MatcherError("a matcher of node metadata has no path") }
        return matcher
    }

    private mutating func value(
        _ range: ByteRange, _ bytes: borrowing Span<UInt8>, depth: Int
    ) throws(MatcherError) -> ValueMatcher {
        try self.enter(depth)
        var matcher = ValueMatcher.never
        var fields = MatcherFields(range)
        while let field = try fields.next(bytes) {
            switch field.number {
            case 1: matcher = .null
            case 2: matcher = try Self.number(try field.content(), bytes)
            case 3: matcher = .string(try self.string(try field.content(), bytes, depth: depth + 1))
            case 4: matcher = .bool(try field.unsigned() != 0)
            case 5: matcher = .present(try field.unsigned() != 0)
            case 6: matcher = .oneOf(.any(try self.values(try field.content(), bytes, depth: depth + 1)))
            case 7: matcher = .any(try self.values(try field.content(), bytes, depth: depth + 1))
            default: break
            }
        }
        return matcher
    }

    /// `ListMatcher` and `OrMatcher`: matchers in field 1.
    private mutating func values(
        _ range: ByteRange, _ bytes: borrowing Span<UInt8>, depth: Int
    ) throws(MatcherError) -> [ValueMatcher] {
        var matchers: [ValueMatcher] = []
        var fields = MatcherFields(range)
        while let field = try fields.next(bytes) {
            if field.number == 1 { matchers.append(try self.value(try field.content(), bytes, depth: depth)) }
        }
        return matchers
    }

    private static func number(
        _ range: ByteRange, _ bytes: borrowing Span<UInt8>
    ) throws(MatcherError) -> ValueMatcher {
        var matcher = ValueMatcher.exactNumber(0)
        var fields = MatcherFields(range)
        while let field = try fields.next(bytes) {
            switch field.number {
            case 1:
                var start = 0.0
                var end = 0.0
                var inner = MatcherFields(try field.content())
                while let bound = try inner.next(bytes) {
                    if bound.number == 1 { start = try bound.double() }
                    if bound.number == 2 { end = try bound.double() }
                }
                matcher = .range(start, end)
            case 2: matcher = .exactNumber(try field.double())
            default: break
            }
        }
        return matcher
    }

    private mutating func string(
        _ range: ByteRange, _ bytes: borrowing Span<UInt8>, depth: Int
    ) throws(MatcherError) -> StringMatcher {
        try self.enter(depth)
        var matcher = StringMatcher()
        var fields = MatcherFields(range)
        while let field = try fields.next(bytes) {
            switch field.number {
            case 1: matcher.kind = .exact(bytes.string(try field.content()))
            case 2: matcher.kind = .prefix(bytes.string(try field.content()))
            case 3: matcher.kind = .suffix(bytes.string(try field.content()))
            case 5: matcher.kind = .pattern(try self.pattern(try Self.text(2, try field.content(), bytes)))
            case 6: matcher.ignoresCase = try field.unsigned() != 0
            case 7: matcher.kind = .contains(bytes.string(try field.content()))
            case 8: throw MatcherError("custom string matchers are not supported")
            default: break
            }
        }
        return matcher
    }

    private mutating func pattern(_ text: String) throws(MatcherError) -> Pattern {
        self.patterns += 1
        guard self.patterns <= NodeMatcher.patternsMax else {
            throw MatcherError("there are more than \(NodeMatcher.patternsMax) regular expressions")
        }
        do throws(PatternError) {
            return try Pattern(text)
        } catch {
            throw MatcherError("\"\(text)\" is no usable regular expression: \(error)")
        }
    }

    /// A string field of a message that has nothing else of use.
    private static func text(
        _ number: Int, _ range: ByteRange, _ bytes: borrowing Span<UInt8>
    ) throws(MatcherError) -> String {
        var text = ""
        var fields = MatcherFields(range)
        while let field = try fields.next(bytes) {
            if field.number == number { text = bytes.string(try field.content()) }
        }
        return text
    }
}

/// `WireReader` with this file's error type.
private struct MatcherFields {
    private var reader: WireReader

    init(_ range: ByteRange) { self.reader = WireReader(range) }

    mutating func next(_ bytes: borrowing Span<UInt8>) throws(MatcherError) -> WireField? {
        do { return try self.reader.next(in: bytes) } catch { throw MatcherError("a matcher is malformed: \(error)") }
    }
}

extension WireField {
    fileprivate func content() throws(MatcherError) -> ByteRange {
        do { return try self.bytes() } catch { throw MatcherError("a matcher is malformed: \(error)") }
    }

    fileprivate func unsigned() throws(MatcherError) -> UInt64 {
        do { return try self.varint() } catch { throw MatcherError("a matcher is malformed: \(error)") }
    }

    fileprivate func double() throws(MatcherError) -> Double {
        guard case .fixed64(let bits) = self.value else {
            throw MatcherError("a matcher is malformed: field \(self.number) is no number")
        }
        return Double(bitPattern: bits)
    }
}
