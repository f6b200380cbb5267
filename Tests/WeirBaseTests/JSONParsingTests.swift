import Testing
import WeirBase

private func rewritten(_ text: String) throws -> String {
    var json = JSONWriter()
    try parseJSON(Array(text.utf8)).write(to: &json)
    return String(decoding: json.bytes, as: UTF8.self)
}

private func failure(_ text: String) -> String? {
    do throws(JSONFailure) {
        _ = try parseJSON(Array(text.utf8))
        return nil
    } catch {
        return "\(error.offset): \(error.reason)"
    }
}

@Suite("JSON reading")
struct JSONParsingTests {
    @Test(
        "what is read and written again says the same, numbers digit by digit",
        arguments: [
            "{}", "[]", "null", "[true,false,null]", "{\"b\":1,\"a\":{\"x\":[1,2.50,-0,1e+9,12345678901234567890]}}",
            "\"a\\\"\\\\ \\n\u{E9}\u{1F600}\"",
        ])
    func roundTrip(_ text: String) throws {
        #expect(try rewritten(text) == text)
    }

    @Test("space between tokens does not matter, escapes are undone")
    func reading() throws {
        let value = try parseJSON(Array(" {\n\"k\" : [ \"\\u0041\\/\\ud83d\\ude00\\b\" , 7 ]\t} ".utf8))
        #expect(value["k"]?.elements == [.string("A/\u{1F600}\u{8}"), .number("7")])
        #expect(value["k"]?.elements[1].int == 7 && value["gone"] == nil && value["k"]?["x"] == nil)
    }

    @Test("halves of surrogate pairs and bytes that are no text become the replacement character")
    func replacement() throws {
        #expect(try parseJSON(Array("\"\\ud83dx\\ude00\"".utf8)) == .string("\u{FFFD}x\u{FFFD}"))
        #expect(try parseJSON(Array("\"\\ud83d\\u0041\"".utf8)) == .string("\u{FFFD}A"))
        #expect(try parseJSON([0x22, 0xFF, 0x22]) == .string("\u{FFFD}"))
        #expect(try parseJSON(Array("\"\u{FEFF}\"".utf8)) == .string("\u{FEFF}"))
    }

    @Test(
        "what is no JSON is an error at its place, never a crash",
        arguments: [
            ("", 0), ("{", 1), ("[1", 2), ("[1,]", 3), ("{\"a\"}", 4), ("{\"a\":1,}", 7), ("{a:1}", 1), ("01", 2),
            ("1.", 2), ("1e", 2), ("-", 1), ("tru", 0), ("\"", 1), ("\"\\", 2), ("\"\\x\"", 2), ("\"\\u12g4\"", 5),
            ("\"\\ud83d\\u", 9), ("1 2", 2), ("\"a\nb\"", 2), ("nullx", 4),
        ])
    func errors(_ text: String, _ offset: Int) throws {
        let reason = try #require(failure(text), "\(text)")
        #expect(reason.hasPrefix("\(offset): "), "\(text): \(reason)")
    }

    @Test("nesting is bounded")
    func depth() {
        #expect(failure(String(repeating: "[", count: 120) + String(repeating: "]", count: 120)) == nil)
        #expect(failure(String(repeating: "[", count: 100_000))?.hasSuffix("nest deeper than 128") == true)
    }
}
