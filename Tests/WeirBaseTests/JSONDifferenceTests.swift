import Testing
import WeirBase

struct JSONDifferenceTests {
    private func difference(_ a: String, _ b: String, max: Int = 100) throws -> ([String], Int) {
        let old = try parseJSON(Array(a.utf8))
        let new = try parseJSON(Array(b.utf8))
        let (found, leftOut) = differences(from: old, to: new, max: max)
        return (found.map { "\($0.path): \(self.text($0.from)) > \(self.text($0.to))" }, leftOut)
    }

    private func text(_ value: JSONValue?) -> String {
        guard let value = value else { return "-" }
        var writer = JSONWriter()
        value.write(to: &writer)
        return String(decoding: writer.bytes, as: UTF8.self)
    }

    @Test("equal documents differ nowhere, whatever the order of members")
    func equal() throws {
        #expect(try self.difference(#"{"a":1,"b":[1,{}]}"#, #"{"b":[1,{}],"a":1}"#).0 == [])
    }

    @Test("a place is named by its path")
    func paths() throws {
        let found = try self.difference(
            #"{"name":"a","endpoints":[{"lb":[{"port":1},{"port":2}]}],"gone":true,"x.y":1}"#,
            #"{"name":"a","endpoints":[{"lb":[{"port":1},{"port":3}]}],"new":"n","x.y":2}"#)
        #expect(
            found.0 == ["endpoints[0].lb[1].port: 2 > 3", "gone: true > -", #"["x.y"]: 1 > 2"#, #"new: - > "n""#])
        #expect(try self.difference("1", #"{"a":1}"#).0 == [#": 1 > {"a":1}"#])
    }

    @Test("an element that comes or goes in the middle of a list is one difference")
    func lists() throws {
        #expect(try self.difference("[1,2,3,4]", "[1,2,9,3,4]").0 == ["[2]: - > 9"])
        #expect(try self.difference("[1,2,9,3,4]", "[1,2,3,4]").0 == ["[2]: 9 > -"])
        #expect(try self.difference("[1,1]", "[1,1,1]").0 == ["[2]: - > 1"])
        #expect(try self.difference("[1,2,3]", "[4,2]").0 == ["[0]: 1 > 4", "[2]: 3 > -"])
        #expect(try self.difference("[]", "[[]]").0 == ["[0]: - > []"])
    }

    @Test("beyond a bound differences are counted only")
    func bound() throws {
        let found = try self.difference("[1,2,3,4]", "[5,6,7,8]", max: 3)
        #expect(found.0.count == 3)
        #expect(found.1 == 1)
    }

    @Test("a text is cut between characters, and marked")
    func boundedText() {
        #expect("abc".bounded(toBytes: 3) == "abc")
        #expect("abcd".bounded(toBytes: 3) == "abc...(truncated)")
        #expect("aää".bounded(toBytes: 4) == "aä...(truncated)")
    }
}
