import WeirBase
import WeirConfig
import WeirHTTP1
import WeirXDS

/// One thing that may stand in a query.
struct AdminParameter: Sendable {
    enum Kind: Sendable, Equatable {
        case text
        /// A short name or a type URL.
        case type
        case limit
        /// Where the page before ended, as `/clients` says it.
        case place
        case choice([String])
    }

    var name: String
    var kind = Kind.text
    var isRequired = false
    var about: String

    static let limitMax = 100_000

    init(_ name: String, required: Bool = false, _ about: String) {
        self.init(name, .text, required: required, about)
    }

    init(_ name: String, _ kind: Kind, required: Bool = false, _ about: String) {
        self.name = name
        self.kind = kind
        self.isRequired = required
        self.about = about
    }

    static let key = AdminParameter("key", "The key of a group.")
    static let type = AdminParameter("type", .type, "A type: its short name, as in `cds`, or its type URL.")
    static let format = AdminParameter("format", .choice(["json", "text"]), "`text` gives an aligned table.")
    static let limit = AdminParameter("limit", .limit, "How many are listed at most.")
    static let cursor = AdminParameter("cursor", "Where to go on: the `next_cursor` of the page before.")

    /// What is wrong with a value; nil if it can be used.
    func fault(in value: String) -> String? {
        switch self.kind {
        case .text: return nil
        case .type:
            guard typeURL(named: value) == nil else { return nil }
            let hint = nearestName(to: value, among: XDSType.known.compactMap(\.shortName))
            return "\(self.name)=\(value) is no type: \(typeNameHint(value))"
                + (hint.map { "; did you mean \($0)?" } ?? "")
        case .limit:
            if let number = Int(value), (1...Self.limitMax).contains(number) { return nil }
            return "\(self.name)=\(value) is not usable: write a number from 1 to \(Self.limitMax)"
        case .place:
            if StreamCursor(value) != nil { return nil }
            return "\(self.name)=\(value) is not usable: write the next_cursor of the page before, as in 0.128"
        case .choice(let choices):
            if choices.contains(value) { return nil }
            let hint = nearestName(to: value, among: choices).map { "; did you mean \($0)?" } ?? ""
            return "\(self.name)=\(value) is not usable: write \(choices.joined(separator: ", "))\(hint)"
        }
    }
}

/// One method of one path of the debug endpoint: what it takes and what it answers. Requests are held against it before
/// they are answered, and `/openapi.json` is made of it.
struct AdminRoute: Sendable {
    var method: String
    var path: String
    var about: String
    var parameters: [AdminParameter]
    /// How the names of further parameters begin.
    var freePrefixes: [String]
    /// The schema of the JSON answer; nil: another kind of answer.
    var schema: String?
    /// Where the answer is no JSON.
    var contentType: String
    /// Statuses other than 200, with what they mean.
    var errors: [(Int, String)]

    init(
        _ method: String, _ path: String, _ about: String, _ parameters: [AdminParameter] = [], free: [String] = [],
        schema: String? = nil, contentType: String = "application/json", errors: [(Int, String)] = []
    ) {
        self.method = method
        self.path = path
        self.about = about
        self.parameters = parameters
        self.freePrefixes = free
        self.schema = schema
        self.contentType = contentType
        self.errors = errors
    }

    /// Whether there is a form for people.
    var hasText: Bool { self.parameters.contains { $0.name == "format" } }

    static let all: [AdminRoute] = reading + changing

    /// What is wrong with a query, and what would be right; nil if it can be used.
    func fault(in query: [(name: String, value: String)]) -> String? {
        var seen: Set<String> = []
        for (name, value) in query {
            guard seen.insert(name).inserted else { return "\(self.path) takes \(name) once" }
            guard let parameter = self.parameters.first(where: { $0.name == name }) else {
                if self.freePrefixes.contains(where: { name.hasPrefix($0) && name.utf8.count > $0.utf8.count }) {
                    continue
                }
                return self.unknown(name)
            }
            if !value.isEmpty, let fault = parameter.fault(in: value) { return fault }
        }
        for parameter in self.parameters where parameter.isRequired {
            if query.contains(where: { $0.name == parameter.name && !$0.value.isEmpty }) { continue }
            let sign = query.isEmpty ? "?" : "&"
            return "\(self.method) \(self.path) needs \(sign)\(parameter.name)=\(parameter.example)"
        }
        return nil
    }

    private func unknown(_ name: String) -> String {
        let names = self.parameters.map(\.name)
        guard !names.isEmpty else { return "\(self.path) takes no parameters; it was given \(name)" }
        if let nearest = nearestName(to: name, among: names + self.freePrefixes) {
            return "\(self.path) has no parameter \(name); did you mean \(nearest)?"
        }
        let all = names + self.freePrefixes.map { $0 + "..." }
        return "\(self.path) has no parameter \(name); it takes \(all.joined(separator: ", "))"
    }
}

extension AdminParameter {
    fileprivate var example: String {
        switch self.kind {
        case .text: self.name.uppercased()
        case .type: "TYPE, as in \(self.name)=cds"
        case .limit: "NUMBER"
        case .place: "PLACE"
        case .choice(let choices): choices.joined(separator: "|")
        }
    }
}

/// Where a list of clients goes on: a worker, and the slot of a stream there.
struct StreamCursor: Sendable, Equatable {
    var worker: Int
    var slot: Int

    static let start = StreamCursor(worker: 0, slot: 0)

    init(worker: Int, slot: Int) {
        self.worker = worker
        self.slot = slot
    }

    init?(_ text: String) {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 2, parts.allSatisfy({ !$0.isEmpty && $0.utf8.count <= 9 }),
            parts.allSatisfy({ $0.utf8.allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) } }),
            let worker = Int(parts[0]), let slot = Int(parts[1])
        else { return nil }
        self.init(worker: worker, slot: slot)
    }

    var text: String { "\(self.worker).\(self.slot)" }
}
