import WeirBase
import WeirHTTP1

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

    func json(_ status: Int = 200, _ build: (inout JSONWriter) -> Void) {
        var writer = JSONWriter()
        build(&writer)
        self.respond(status, "application/json", writer.bytes + [UInt8(ascii: "\n")])
    }

    func text(_ status: Int = 200, _ text: String) {
        self.respond(status, "text/plain; charset=utf-8", Array(text.utf8))
    }

    func table(_ table: TextTable) { self.text(200, table.text) }

    /// Errors are JSON and say what would be right.
    func error(_ status: Int, _ message: String, headers: [(String, String)] = []) {
        var writer = JSONWriter()
        writer.object { $0.field("error", message) }
        self.respond(status, "application/json", writer.bytes + [UInt8(ascii: "\n")], headers)
    }

    func respond(_ status: Int, _ contentType: String, _ body: [UInt8], _ headers: [(String, String)] = []) {
        self.responder.respond(
            status: status, contentType: contentType,
            headers: headers + [("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff")], body: body)
    }
}

/// Rows of text in aligned columns.
struct TextTable {
    private var rows: [[String]]

    init(_ header: [String]) { self.rows = [header] }

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
