import WeirBase

/// How records become lines. Pure: writing them is the caller's work.
package enum LogFormat: String, Sendable, CaseIterable {
    /// For people: `2026-03-01T08:05:09.250Z info  upstream connected server=127.0.0.1:1 key="a b"`.
    case text
    /// For machines: one object a line with `time`, `level`, `message` and the fields.
    case json

    /// Most bytes of the message, and of one field's value, before escaping; the rest is cut and marked.
    package static let valueBytesMax = 2_048
    /// Most fields of one record; further ones are left out and counted in a field `fields_omitted`.
    package static let fieldsMax = 32
    /// Stands at the end of a value that was cut.
    package static let truncationMark = "...(truncated)"

    /// One line with its line feed. No byte of the record can start another line or steer a terminal. At most about
    /// `fieldsMax` + 1 values of `valueBytesMax` bytes, six times that if every byte must be escaped.
    package func line(_ record: LogRecord) -> [UInt8] {
        var fields = record.fields.prefix(Self.fieldsMax).map { (Self.bounded($0), Self.bounded($1)) }
        let omitted = record.fields.count - fields.count
        if omitted > 0 { fields.append(("fields_omitted", String(omitted))) }
        let message = Self.bounded(record.message)
        var bytes =
            switch self {
            case .text: Self.text(record, message, fields)
            case .json: Self.json(record, message, fields)
            }
        bytes.append(UInt8(ascii: "\n"))
        return bytes
    }

    private static func text(_ record: LogRecord, _ message: String, _ fields: [(String, String)]) -> [UInt8] {
        let level = record.level.name
        let fill = String(repeating: " ", count: max(0, 5 - level.count))
        var bytes = Array("\(record.wall.rfc3339) \(level)\(fill) ".utf8)
        JSONWriter.appendEscaped(message, to: &bytes)
        for (name, value) in fields {
            bytes.append(UInt8(ascii: " "))
            self.appendWord(name, to: &bytes)
            bytes.append(UInt8(ascii: "="))
            self.appendWord(value, to: &bytes)
        }
        return bytes
    }

    /// The reserved names `time`, `level` and `message` cannot be taken by a field: such a field gets a `_` in front.
    private static func json(_ record: LogRecord, _ message: String, _ fields: [(String, String)]) -> [UInt8] {
        var json = JSONWriter(reservingCapacity: 256)
        json.object { json in
            json.field("time", record.wall.rfc3339)
            json.field("level", record.level.name)
            json.field("message", message)
            for (name, value) in fields {
                json.field(["time", "level", "message"].contains(name) ? "_" + name : name, value)
            }
        }
        return json.bytes
    }

    /// Bare where it is plain visible ASCII that cannot be misread, else quoted and escaped.
    private static func appendWord(_ text: String, to bytes: inout [UInt8]) {
        let isPlain =
            !text.isEmpty
            && text.utf8.allSatisfy { byte in
                byte > 0x20 && byte < 0x7F && byte != UInt8(ascii: "\"") && byte != UInt8(ascii: "\\")
                    && byte != UInt8(ascii: "=")
            }
        if isPlain {
            bytes.append(contentsOf: text.utf8)
        } else {
            JSONWriter.appendQuoted(text, to: &bytes)
        }
    }

    /// `text`, or its first `valueBytesMax` bytes cut between characters, with the mark.
    private static func bounded(_ text: String) -> String {
        guard text.utf8.count > self.valueBytesMax else { return text }
        var end = text.utf8.index(text.utf8.startIndex, offsetBy: self.valueBytesMax)
        while end.samePosition(in: text.unicodeScalars) == nil { end = text.utf8.index(before: end) }
        return String(text[..<end]) + self.truncationMark
    }
}
