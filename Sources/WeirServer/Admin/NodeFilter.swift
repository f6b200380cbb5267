import WeirBase
import WeirEngine
import WeirRules
import WeirXDS

/// Conditions on nodes in a query, with the meaning of CSDS's `NodeMatcher`: `node` and `node.metadata.PATH`, the whole
/// value unless the name ends in another way to compare, as in `node:prefix=edge-`.
enum NodeFilter {
    enum Way: String, CaseIterable {
        case exact, prefix, suffix, contains, regex

        var about: String {
            switch self {
            case .exact: "the whole of it"
            case .prefix: "how it begins"
            case .suffix: "how it ends"
            case .contains: "what is in it"
            case .regex: "a regular expression (RE2) for the whole of it"
            }
        }

        /// The field of `StringMatcher`.
        fileprivate var field: Int {
            switch self {
            case .exact: 1
            case .prefix: 2
            case .suffix: 3
            case .regex: 5
            case .contains: 7
            }
        }
    }

    static let ways = Way.allCases
    private static let metadata = "node.metadata."

    /// Whether a node fulfils the conditions of a query; nil where there are none.
    static func read(
        _ query: [(name: String, value: String)], proxyID: String? = nil
    ) throws(AdminFault) -> (@Sendable (NodeIdentity) -> Bool)? {
        var ids: [(Way, String)] = proxyID.map { [(.exact, $0)] } ?? []
        var fields: [(path: [String], Way, String)] = []
        for (name, value) in query where !value.isEmpty {
            let (field, way) = try Self.split(name)
            if field == "node" { ids.append((way, value)) }
            guard field.hasPrefix(Self.metadata) else { continue }
            let path = field.dropFirst(Self.metadata.count).split(separator: ".").map(String.init)
            guard !path.isEmpty else { throw AdminFault(400, "\(name) names no field of the metadata") }
            fields.append((path, way, value))
        }
        guard !ids.isEmpty || !fields.isEmpty else { return nil }
        // Looking at ids alone takes no decoding.
        if fields.isEmpty, ids.allSatisfy({ $0.0 == .exact }) {
            let wanted = ids.map(\.1)
            return { node in wanted.allSatisfy { $0 == node.id } }
        }
        let matchers = try Self.matchers(ids, fields)
        let needsMetadata = !fields.isEmpty
        return { identity in
            guard needsMetadata else {
                let node = Node(id: identity.id)
                return matchers.allSatisfy { $0.matches(node) }
            }
            guard let node = try? Node(decoding: identity.encoded) else { return false }
            return matchers.allSatisfy { $0.matches(node) }
        }
    }

    private static func split(_ name: String) throws(AdminFault) -> (field: String, Way) {
        guard name == "node" || name.hasPrefix("node:") || name.hasPrefix(Self.metadata) else { return (name, .exact) }
        guard let colon = name.lastIndex(of: ":") else { return (name, .exact) }
        let text = String(name[name.index(after: colon)...])
        guard let way = Way(rawValue: text) else {
            let ways = Self.ways.map(\.rawValue)
            let hint = nearestName(to: text, among: ways).map { "; did you mean \($0)?" } ?? ""
            throw AdminFault(400, "\(name): values are compared as \(ways.joined(separator: ", "))\(hint)")
        }
        return (String(name[..<colon]), way)
    }

    /// The conditions as the messages that CSDS takes, so that they mean the same.
    private static func matchers(
        _ ids: [(Way, String)], _ fields: [(path: [String], Way, String)]
    ) throws(AdminFault) -> [NodeMatcher] {
        var messages: [[UInt8]] = []
        for (way, value) in ids {
            var matcher = WireWriter()
            matcher.message(1, Self.string(way, value))
            messages.append(matcher.bytes)
        }
        for (path, way, value) in fields {
            var structure = WireWriter()
            for key in path {
                var segment = WireWriter()
                segment.element(1, key)
                structure.message(2, segment.bytes)
            }
            structure.message(3, Self.value(way, value))
            var matcher = WireWriter()
            matcher.message(2, structure.bytes)
            messages.append(matcher.bytes)
        }
        var bytes: [UInt8] = []
        var ranges: [ByteRange] = []
        for message in messages {
            ranges.append(ByteRange(offset: bytes.count, count: message.count))
            bytes += message
        }
        do throws(MatcherError) {
            return try NodeMatcher.read(ranges, in: bytes.span)
        } catch {
            throw AdminFault(400, error.description)
        }
    }

    private static func string(_ way: Way, _ value: String) -> [UInt8] {
        var matcher = WireWriter()
        if way == .regex {
            var pattern = WireWriter()
            pattern.string(2, value)
            matcher.message(way.field, pattern.bytes)
        } else {
            matcher.element(way.field, value)
        }
        return matcher.bytes
    }

    /// A `ValueMatcher`; one for the whole of a value takes numbers and booleans as they are written, too.
    private static func value(_ way: Way, _ text: String) -> [UInt8] {
        var string = WireWriter()
        string.message(3, Self.string(way, text))
        var other = WireWriter()
        if way == .exact, let number = Double(text), number.isFinite {
            var double = WireWriter()
            double.bytes = [2 << 3 | 1]
            for shift in stride(from: UInt64(0), to: 64, by: 8) {
                double.bytes.append(UInt8(truncatingIfNeeded: number.bitPattern >> shift))
            }
            other.message(2, double.bytes)
        } else if way == .exact, text == "true" || text == "false" {
            other.bytes = [4 << 3, text == "true" ? 1 : 0]
        } else {
            return string.bytes
        }
        var either = WireWriter()
        either.message(1, string.bytes)
        either.message(1, other.bytes)
        var value = WireWriter()
        value.message(7, either.bytes)
        return value.bytes
    }
}

/// Why a request is not answered as asked, with the status.
struct AdminFault: Error {
    var status: Int
    var message: String

    init(_ status: Int, _ message: String) {
        self.status = status
        self.message = message
    }
}
