import WeirBase
import WeirGzip
import WeirHTTP1
import WeirHash
import WeirXDS

/// One request and the way to answer it. Any thread.
struct AdminAnswer: Sendable {
    let request: HTTPRequest
    let responder: HTTPResponder

    /// The first value of a query item; nil if it is absent or empty.
    func query(_ name: String) -> String? {
        guard let value = self.request.query.first(where: { $0.0 == name })?.1, !value.isEmpty else { return nil }
        return value
    }

    var wantsText: Bool { self.query("format") == "text" }

    /// The type that a query item names, by its URL; what is no type is refused before.
    func typeURL(_ name: String = "type") -> String? { self.query(name).map { XDSType.named($0)?.typeURL ?? $0 } }

    /// What is listed at most.
    var limit: Int { self.query("limit").flatMap { Int($0) } ?? .max }

    func json(_ status: Int = 200, _ build: (inout JSONWriter) -> Void) {
        var writer = JSONWriter()
        build(&writer)
        self.respond(status, "application/json", writer.bytes + [UInt8(ascii: "\n")])
    }

    func text(_ status: Int = 200, _ text: String) {
        self.respond(status, "text/plain; charset=utf-8", Array(text.utf8))
    }

    func table(_ table: TextTable, _ notes: [String] = []) {
        self.text(200, table.text + notes.map { "# \($0)\n" }.joined())
    }

    /// One line for each field.
    func lines(status: Int = 200, _ fields: [(String, String)]) {
        var table = TextTable([])
        for (name, value) in fields { table.add([name, value]) }
        self.text(status, table.text)
    }

    /// Errors are JSON and say what would be right.
    func error(_ status: Int, _ message: String, headers: [(String, String)] = []) {
        var writer = JSONWriter()
        writer.object { $0.field("error", message) }
        self.respond(status, "application/json", writer.bytes + [UInt8(ascii: "\n")], headers)
    }

    /// Smaller bodies are sent as they are.
    private static let gzipBytesMin = 1024

    /// What was asked for and is there has an entity tag, so that who asks again gets it only if it is another.
    func respond(_ status: Int, _ contentType: String, _ body: [UInt8], _ headers: [(String, String)] = []) {
        guard status == 200, self.request.method != "POST" else {
            return self.send(status, contentType, body, headers + [("Cache-Control", "no-store")])
        }
        let tag = "\"\(ContentHash(of: body).shortHex)\""
        let zipped = "\(tag.dropLast())-gzip\""
        let common = headers + [("Cache-Control", "no-cache"), ("Vary", "Accept-Encoding")]
        for known in [tag, zipped] where Negotiation.matches(self.request.ifNoneMatch, tag: known) {
            return self.send(304, contentType, [], common + [("ETag", known)])
        }
        if body.count >= Self.gzipBytesMin, Negotiation.prefersGzip(self.request.acceptEncoding),
            let packed = gzip(body)
        {
            return self.send(200, contentType, packed, common + [("Content-Encoding", "gzip"), ("ETag", zipped)])
        }
        self.send(200, contentType, body, common + [("ETag", tag)])
    }

    private func send(_ status: Int, _ contentType: String, _ body: [UInt8], _ headers: [(String, String)]) {
        self.responder.respond(
            status: status, contentType: contentType, headers: headers + [("X-Content-Type-Options", "nosniff")],
            body: body)
    }
}

extension JSONWriter {
    /// `missing_workers`, where not all answered.
    mutating func missing(_ workers: [Int]) {
        guard !workers.isEmpty else { return }
        self.array("missing_workers") { list in for worker in workers { list.value(worker) } }
    }

    /// What a page says of the others.
    mutating func page(total: Int, next: String?, missing: [Int]) {
        self.field("total", total)
        self.field("next_cursor", next)
        self.missing(missing)
    }
}

/// What a page as a table says of the others.
func pageNotes(listed: Int, total: Int, next: String?, missing: [Int]) -> [String] {
    var notes: [String] = []
    if let next = next { notes.append("\(listed) of \(total); more: cursor=\(percentEncoded(next))") }
    if !missing.isEmpty {
        notes.append(
            "no answer from worker \(missing.map(String.init).joined(separator: ", ")): what it has is not here")
    }
    return notes
}

/// Rows of text in aligned columns.
struct TextTable {
    private var rows: [[String]]

    init(_ header: [String]) { self.rows = header.isEmpty ? [] : [header] }

    mutating func add(_ row: [String]) { self.rows.append(row) }

    var text: String {
        var widths: [Int] = []
        for row in self.rows {
            for (column, cell) in row.enumerated() {
                if column == widths.count { widths.append(0) }
                widths[column] = max(widths[column], cell.count)
            }
        }
        return self.rows.map { row in
            let cells = row.enumerated().map { column, cell in
                column == row.count - 1 ? cell : cell + String(repeating: " ", count: widths[column] - cell.count)
            }
            return cells.joined(separator: "  ") + "\n"
        }.joined()
    }
}
