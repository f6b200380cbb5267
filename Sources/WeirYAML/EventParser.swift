import CYAML

/// A place in the input as libyaml counts, from zero; columns are characters.
struct Mark: Hashable {
    var line: Int
    var column: Int
}

/// One event of libyaml with everything that the tree needs, copied out of C.
struct Event {
    enum Kind {
        case documentStart
        case streamEnd
        case alias(String)
        case scalar(YAMLScalar)
        case sequenceStart
        case sequenceEnd
        case mappingStart
        case mappingEnd
        /// Stream start and document end: of no interest.
        case other
    }

    var kind: Kind
    var mark: Mark
    var anchor: String?
    var tag: String?
}

/// Why libyaml gave up.
struct SyntaxError: Error {
    /// What it says, in its own words.
    var problem: String
    /// What it was doing, in its own words (`while scanning a simple key`); empty if it did not say.
    var context: String
    /// Unknown when the bytes are no text at all: then `offset` counts bytes.
    var mark: Mark?
    var offset: Int
}

/// Owns a `yaml_parser_t` over bytes that outlive it.
@safe final class EventParser {
    /// Allocated, not stored: libyaml keeps the parser's own address as the data of its read handler.
    private let raw: UnsafeMutablePointer<yaml_parser_t>

    /// `bytes` must stay valid and unmoved until the parser is gone. Nil when there is no memory.
    init?(_ bytes: UnsafeBufferPointer<UInt8>) {
        unsafe self.raw = .allocate(capacity: 1)
        unsafe self.raw.initialize(to: yaml_parser_t())
        guard unsafe yaml_parser_initialize(self.raw) != 0 else {
            unsafe self.raw.deallocate()
            return nil
        }
        unsafe yaml_parser_set_input_string(self.raw, bytes.baseAddress, bytes.count)
    }

    deinit {
        unsafe yaml_parser_delete(self.raw)
        unsafe self.raw.deallocate()
    }

    func next() throws(SyntaxError) -> Event {
        var event = unsafe yaml_event_t()
        guard unsafe yaml_parser_parse(self.raw, &event) != 0 else { throw self.failure() }
        defer { unsafe yaml_event_delete(&event) }
        return unsafe EventParser.copied(event)
    }

    private func failure() -> SyntaxError {
        let parser = unsafe self.raw.pointee
        let isReader = unsafe parser.error == YAML_READER_ERROR
        let mark = unsafe Mark(line: Int(parser.problem_mark.line), column: Int(parser.problem_mark.column))
        return unsafe SyntaxError(
            problem: EventParser.text(parser.problem) ?? "out of memory",
            context: EventParser.text(parser.context) ?? "",
            mark: isReader ? nil : mark,
            offset: Int(clamping: parser.problem_offset))
    }

    private static func copied(_ event: yaml_event_t) -> Event {
        let mark = unsafe Mark(line: Int(event.start_mark.line), column: Int(event.start_mark.column))
        var result = Event(kind: .other, mark: mark)
        switch unsafe event.type {
        case YAML_DOCUMENT_START_EVENT: result.kind = .documentStart
        case YAML_STREAM_END_EVENT: result.kind = .streamEnd
        case YAML_SEQUENCE_END_EVENT: result.kind = .sequenceEnd
        case YAML_MAPPING_END_EVENT: result.kind = .mappingEnd
        case YAML_ALIAS_EVENT:
            result.kind = unsafe .alias(EventParser.text(event.data.alias.anchor) ?? "")
        case YAML_SCALAR_EVENT:
            let data = unsafe event.data.scalar
            result.kind = unsafe .scalar(EventParser.scalar(data.value, data.length, data.style))
            result.anchor = unsafe EventParser.text(data.anchor)
            result.tag = unsafe EventParser.text(data.tag)
        case YAML_SEQUENCE_START_EVENT:
            result.kind = .sequenceStart
            result.anchor = unsafe EventParser.text(event.data.sequence_start.anchor)
            result.tag = unsafe EventParser.text(event.data.sequence_start.tag)
        case YAML_MAPPING_START_EVENT:
            result.kind = .mappingStart
            result.anchor = unsafe EventParser.text(event.data.mapping_start.anchor)
            result.tag = unsafe EventParser.text(event.data.mapping_start.tag)
        default: break
        }
        return result
    }

    private static func scalar(
        _ bytes: UnsafeMutablePointer<yaml_char_t>?, _ count: Int, _ style: yaml_scalar_style_t
    ) -> YAMLScalar {
        let text = unsafe String(decoding: UnsafeBufferPointer(start: bytes, count: count), as: UTF8.self)
        return switch style {
        case YAML_SINGLE_QUOTED_SCALAR_STYLE, YAML_DOUBLE_QUOTED_SCALAR_STYLE: YAMLScalar(text: text, style: .quoted)
        case YAML_LITERAL_SCALAR_STYLE, YAML_FOLDED_SCALAR_STYLE: YAMLScalar(text: text, style: .block)
        default: YAMLScalar(text: text, style: .plain)
        }
    }

    private static func text(_ bytes: UnsafeMutablePointer<yaml_char_t>?) -> String? {
        guard let bytes = unsafe bytes else { return nil }
        return unsafe String(cString: bytes)
    }

    private static func text(_ bytes: UnsafePointer<CChar>?) -> String? {
        guard let bytes = unsafe bytes else { return nil }
        return unsafe String(cString: bytes)
    }
}
