import Testing
import WeirBase

private func written(_ content: (inout JSONWriter) -> Void) -> String {
    var json = JSONWriter()
    content(&json)
    return String(decoding: json.bytes, as: UTF8.self)
}

struct JSONWriterTests {
    @Test("commas stand between members and elements at every depth, and nowhere else")
    func commas() {
        let text = written { json in
            json.object {
                $0.field("name", "x")
                $0.array("empty") { _ in }
                $0.array("types") {
                    $0.value("cds")
                    $0.object { $0.field("n", 1) }
                    $0.object { _ in }
                    $0.array { $0.value(2) }
                    $0.null()
                }
                $0.object("inner") { $0.field("ok", true) }
                $0.field("last", ["a", "b"])
            }
        }
        #expect(
            text
                == #"{"name":"x","empty":[],"types":["cds",{"n":1},{},[2],null],"inner":{"ok":true},"last":["a","b"]}"#)
    }

    @Test("numbers, flags, null and raw values are written as JSON knows them")
    func scalars() {
        let nothing: String? = nil
        let text = written { json in
            json.object {
                $0.field("max", UInt64.max)
                $0.field("min", Int64.min)
                $0.field("half", 0.5)
                $0.field("small", 1e-7)
                $0.field("nan", Double.nan)
                $0.field("infinite", -Double.infinity)
                $0.field("no", false)
                $0.field("nothing", nothing)
                $0.field("raw", raw: Array("[1]".utf8))
                $0.field("after", 1)
            }
        }
        #expect(
            text == #"{"max":18446744073709551615,"min":-9223372036854775808,"half":0.5,"small":1e-07,"nan":null,"#
                + #""infinite":null,"no":false,"nothing":null,"raw":[1],"after":1}"#)
    }

    @Test("quotes, backslashes and every control character are escaped, in keys too; other characters stay")
    func escaping() {
        let text = written { json in
            json.object { $0.field("a\"\n", "\\ \" \n\r\t\0\u{1}\u{1F}\u{7F}\u{9B}\u{2028}\u{2029} / äß 🦭 \u{A0}") }
        }
        #expect(
            text == #"{"a\"\n":"\\ \" \n\r\t\u0000\u0001\u001f\u007f\u009b\u2028\u2029 / äß 🦭 "# + "\u{A0}\"}")
    }

    @Test("a typed error of the content passes through")
    func errors() {
        struct Stop: Error {}
        var json = JSONWriter()
        #expect(throws: Stop.self) { try json.object { (_) throws(Stop) in throw Stop() } }
    }
}
