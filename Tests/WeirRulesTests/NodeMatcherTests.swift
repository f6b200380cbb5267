import Testing
import WeirBase
import WeirXDS

@testable import WeirRules

private let node = Node(
    id: "web-1", metadata: ["tier": .string("gold"), "app": .object(["name": .string("shop")]), "n": .number(3)])

private func text(_ number: Int, _ value: String) -> (Int, [UInt8]) { (number, Array(value.utf8)) }

/// A message of length-delimited fields.
private func message(_ fields: (Int, [UInt8])...) -> [UInt8] {
    var writer = WireWriter()
    for (number, content) in fields { writer.message(number, content) }
    return writer.bytes
}

private func flag(_ number: Int) -> [UInt8] { [UInt8(number << 3), 1] }

private func read(_ matchers: [[UInt8]]) throws -> [NodeMatcher] {
    var bytes: [UInt8] = []
    var ranges: [ByteRange] = []
    for matcher in matchers {
        ranges.append(ByteRange(offset: bytes.count, count: matcher.count))
        bytes += matcher
    }
    return try NodeMatcher.read(ranges, in: bytes.span)
}

private func matches(_ matcher: [UInt8]) throws -> Bool { try read([matcher]).allSatisfy { $0.matches(node) } }

private func metadata(_ path: [String], _ value: [UInt8]) -> [UInt8] {
    var writer = WireWriter()
    for key in path { writer.message(2, message(text(1, key))) }
    writer.message(3, value)
    return message((2, writer.bytes))
}

@Suite struct NodeMatcherTests {
    @Test(
        "SVC-03 ids are matched in every way of a string matcher",
        arguments: [
            (message(text(1, "web-1")), true), (message(text(1, "web")), false), (message(text(2, "web")), true),
            (message(text(3, "-1")), true), (message(text(7, "eb-")), true), (message(text(7, "x")), false),
            (message(text(1, "WEB-1")), false), (message(text(1, "WEB-1")) + flag(6), true),
            (message((5, message(text(2, "web-\\d")))), true), (message((5, message(text(2, "web")))), false),
        ])
    func strings(_ matcher: [UInt8], _ expected: Bool) throws {
        #expect(try matches(message((1, matcher))) == expected)
    }

    @Test("SVC-03 metadata is matched at its path; a missing value only by its absence")
    func paths() throws {
        let gold = message((3, message(text(1, "gold"))))
        #expect(try matches(metadata(["tier"], gold)))
        #expect(try !matches(metadata(["app"], gold)))
        #expect(try matches(metadata(["app", "name"], message((3, message(text(1, "shop")))))))
        #expect(try !matches(metadata(["tier", "name"], gold)))
        #expect(try matches(metadata(["tier"], flag(5))) && !matches(metadata(["gone"], flag(5))))
        #expect(try matches(metadata(["gone"], [5 << 3, 0])) && !matches(metadata(["tier"], [5 << 3, 0])))
    }

    @Test("SVC-03 all parts of a matcher must hold, and one of an or_match")
    func parts() throws {
        let gold = message((3, message(text(1, "gold"))))
        let silver = message((3, message(text(1, "silver"))))
        let id = message((1, message(text(2, "web"))))
        #expect(try matches(id + metadata(["tier"], gold)))
        #expect(try !matches(id + metadata(["tier"], silver)))
        #expect(try !matches(message((1, message(text(2, "api")))) + metadata(["tier"], gold)))
        #expect(try matches(metadata(["tier"], message((7, message((1, silver), (1, gold)))))))
        #expect(try matches([]))
    }

    @Test("what is malformed, too deep or too much is refused, and says so")
    func bounds() throws {
        #expect(throws: MatcherError.self) { try matches([0x0A, 0x05]) }
        #expect(throws: MatcherError.self) { try matches(message((1, message((8, []))))) }
        #expect(throws: MatcherError.self) { try matches(message((1, message((5, message(text(2, "("))))))) }
        #expect(throws: MatcherError.self) { try matches(message((2, message((3, flag(5)))))) }
        var deep = flag(5)
        for _ in 0..<NodeMatcher.depthMax { deep = message((7, message((1, deep)))) }
        #expect(throws: MatcherError.self) { try matches(metadata(["tier"], deep)) }
        let simple = message((1, message(text(1, "x"))))
        #expect(throws: MatcherError.self) { try read(Array(repeating: simple, count: NodeMatcher.countMax)) }
        let pattern = message((1, message((5, message(text(2, "x"))))))
        #expect(try read(Array(repeating: pattern, count: NodeMatcher.patternsMax)).count == NodeMatcher.patternsMax)
        #expect(throws: MatcherError.self) { try read(Array(repeating: pattern, count: NodeMatcher.patternsMax + 1)) }
    }
}
