import Testing
import WeirBase

@testable import WeirYAML

private func tree(_ text: String, limits: YAMLLimits = YAMLLimits()) throws(YAMLFailure) -> YAMLNode {
    try parseYAML(Array(text.utf8), file: "f.yaml", limits: limits)
}

private func errors(_ text: String, limits: YAMLLimits = YAMLLimits()) -> [String] {
    do {
        _ = try tree(text, limits: limits)
        return []
    } catch {
        return error.diagnostics.map(\.description)
    }
}

@Suite("YAML trees")
struct YAMLTreeTests {
    @Test("places count lines and characters from one")
    func places() throws {
        let root = try tree("a: 1\nü:\n  - x\n  - {k: v}\n")
        #expect(root.place == SourcePlace(file: "f.yaml", line: 1, column: 1))
        #expect(root.mapping?.map(\.key) == ["a", "ü"])
        let list = try #require(root["ü"]?.sequence)
        #expect(list[0].place == SourcePlace(file: "f.yaml", line: 3, column: 5))
        #expect(list[1].mapping?[0].keyPlace == SourcePlace(file: "f.yaml", line: 4, column: 6))
        #expect(list[1]["k"]?.place == SourcePlace(file: "f.yaml", line: 4, column: 9))
    }

    @Test("an empty file, or one of comments only, is null", arguments: ["", "# nothing\n", "---\n"])
    func empty(_ text: String) throws {
        #expect(try tree(text).isNull)
    }

    @Test("JSON with tabs between its tokens is YAML")
    func json() throws {
        let root = try tree("{\n\t\"a\": [1, 2.5, null, true],\n\t\"b\": \"x\\u0041\\n\"\n}\n")
        #expect(jsonText(of: root) == #"{"a":[1,2.5,null,true],"b":"xA\n"}"#)
    }

    @Test("an alias is replaced by what it stands for")
    func alias() throws {
        let root = try tree("a: &x {k: [1]}\nb: *x\n")
        #expect(root["b"] == root["a"])
    }

    @Test("quotes, blocks and the tag !!str make text of what would be a number")
    func quoting() throws {
        let root = try tree("- '1'\n- \"true\"\n- |-\n  2\n- !!str 3\n- ! 4\n- 5\n")
        #expect(jsonText(of: root) == #"["1","true","2","3","4",5]"#)
    }
}

@Suite("YAML scalars under the core schema")
struct YAMLScalarTests {
    @Test(
        "plain text means what the core schema says",
        arguments: [
            ("", YAMLScalar.Value.null), ("~", .null), ("Null", .null), ("nUll", .string("nUll")),
            ("true", .bool(true)), ("FALSE", .bool(false)), ("yes", .string("yes")), ("off", .string("off")),
            ("0", .int(0)), ("-12", .int(-12)), ("+7", .int(7)), ("007", .int(7)), ("0o17", .int(15)),
            ("0xfF", .int(255)), ("0x-1", .string("0x-1")), ("0x", .string("0x")),
            ("9223372036854775807", .int(.max)), ("9223372036854775808", .float(9_223_372_036_854_775_808)),
            ("1.", .float(1)), (".5", .float(0.5)), ("+.5", .float(0.5)), ("-1.5e-3", .float(-0.0015)),
            ("1e3", .float(1000)), ("1e", .string("1e")), ("1.2.3", .string("1.2.3")), (".", .string(".")),
            ("-", .string("-")), ("-.inf", .float(-.infinity)), ("inf", .string("inf")), ("nan", .string("nan")),
            ("1_000", .string("1_000")), ("0x1p3", .string("0x1p3")), (" 1", .string(" 1")),
        ])
    func resolution(_ text: String, _ expected: YAMLScalar.Value) {
        #expect(YAMLScalar(text: text, style: .plain).resolved == expected)
    }

    @Test("infinities and NaN become the text that protobuf's JSON form expects")
    func specials() throws {
        #expect(try jsonText(of: tree("[.inf, -.inf, .nan]")) == #"["Infinity","-Infinity","NaN"]"#)
    }

    @Test("control characters, quotes and backslashes are escaped in JSON text")
    func escapes() throws {
        #expect(try jsonText(of: tree(#""\x01\"\\\t""#)) == #""\u0001\"\\\t""#)
    }
}

@Suite("YAML errors")
struct YAMLErrorTests {
    @Test("every repeated key is reported, with the line of the first")
    func repeatedKeys() {
        #expect(
            errors("a: 1\nb: {c: 1, c: 2}\na: 2\n") == [
                "f.yaml:2:11: error: the key \"c\" is repeated (first on line 2)",
                "f.yaml:3:1: error: the key \"a\" is repeated (first on line 1)",
            ])
    }

    @Test("tabs, second documents, unknown tags, odd keys and bad aliases are errors with a place")
    func single() {
        #expect(errors("a:\n\tb: 1\n") == ["f.yaml:2:1: error: a tab cannot indent; use spaces"])
        #expect(errors("a: 1\n---\nb: 2\n") == ["f.yaml:2:1: error: a second document begins here; a file holds one"])
        #expect(
            errors("a: !secret x\n") == [
                "f.yaml:1:4: error: the tag \"!secret\" is not known; only those of YAML's core schema are"
            ])
        #expect(errors("{[1]: 2}\n") == ["f.yaml:1:2: error: a key must be text, not a list"])
        #expect(errors("a: *b\n") == ["f.yaml:1:4: error: the alias *b names no anchor above it"])
        #expect(errors("a: &a [*a]\n") == ["f.yaml:1:8: error: the alias *a stands inside what it names"])
    }

    @Test("broken syntax gives libyaml's reason and place")
    func syntax() {
        #expect(
            errors("a: [1, 2\nb: 3\n") == [
                "f.yaml:2:2: error: not YAML: did not find expected ',' or ']' while parsing a flow sequence"
            ])
    }

    @Test("bytes that are no UTF-8 are an error at their place")
    func encoding() {
        var bytes = Array("ä: 1\nbü: ".utf8)
        bytes.append(0xFF)
        let failure = #expect(throws: YAMLFailure.self) { try parseYAML(bytes, file: "f.yaml") }
        #expect(failure?.diagnostics.first?.place == SourcePlace(file: "f.yaml", line: 2, column: 5))
    }

    @Test("depth, size and the expansion of aliases are bounded")
    func bounds() {
        let deep = String(repeating: "[", count: 101) + String(repeating: "]", count: 101)
        #expect(errors(deep) == ["f.yaml:1:101: error: mappings and lists nest deeper than 100"])
        #expect(errors(String(repeating: "[", count: 200_000)).count == 1)
        var bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
        for i in 1..<10 {
            let uses = Array(repeating: "*a\(i - 1)", count: 10).joined(separator: ", ")
            bomb += "a\(i): &a\(i) [\(uses)]\n"
        }
        #expect(
            errors(bomb).first?.hasSuffix("more than 4000000 values, counting what each alias stands for") == true)
        #expect(
            errors("abcdef", limits: YAMLLimits(bytes: 5)) == [
                "f.yaml:1:1: error: the file has 6 bytes; at most 5 are read"
            ])
    }

    @Test("the text that aliases stand for is bounded")
    func aliasedText() {
        let text = String(repeating: "x", count: 1_000)
        let bomb = "a: &a \(text)\nb: &b [*a, *a, *a, *a]\nc: {\(text): 1}\nd: &d {\(text): 1}\ne: [*b, *d, *d]\n"
        #expect(errors(bomb, limits: YAMLLimits(textBytes: 13_009)).isEmpty)
        #expect(
            errors(bomb, limits: YAMLLimits(textBytes: 13_008)) == [
                "f.yaml:5:13: error: more than 13008 bytes of text, counting what each alias stands for"
            ])
    }

    // Not a measurement: where each repeated key is looked for among all others, this takes many minutes.
    @Test("very many keys are each told that they are repeated", .timeLimit(.minutes(1)))
    func manyRepeatedKeys() {
        let lines = (0..<40_000).map { "k\($0): 1\n" }.joined()
        let found = errors(lines + lines)
        #expect(found.count == 40_000)
        #expect(found.last?.hasSuffix("the key \"k39999\" is repeated (first on line 40000)") == true)
    }

    @Test("no input of random bytes does anything but parse or fail")
    func randomInput() {
        var generator = SeededGenerator(seed: 7)
        let alphabet = Array("a:- \n\t[]{},&*!|>'\"#%@`?0.~\u{00e4}<".utf8) + [0, 0xFF, 0xEF, 0xBB, 0xBF]
        for _ in 0..<3_000 {
            let count = Int.random(in: 0..<60, using: &generator)
            let bytes = (0..<count).map { _ in alphabet.randomElement(using: &generator) ?? 0 }
            do {
                let node = try parseYAML(bytes, file: "f")
                // What was read is JSON, which is YAML that reads as the same.
                let again = try parseYAML(Array(jsonText(of: node).utf8), file: "f")
                #expect(jsonText(of: again) == jsonText(of: node))
            } catch {
                #expect(!error.diagnostics.isEmpty)
            }
        }
    }
}
