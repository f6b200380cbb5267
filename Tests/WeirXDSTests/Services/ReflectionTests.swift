import Testing
import WeirBase

@testable import WeirXDS

/// Builds messages of `descriptor.proto` from their fields.
private func message(_ fields: (Int, [UInt8])...) -> [UInt8] {
    var writer = WireWriter()
    for (number, content) in fields { writer.message(number, content) }
    return writer.bytes
}

private func named(_ name: String, _ fields: (Int, [UInt8])...) -> [UInt8] {
    var writer = WireWriter()
    writer.string(1, name)
    for (number, content) in fields { writer.message(number, content) }
    return writer.bytes
}

private func text(_ value: String) -> [UInt8] { Array(value.utf8) }

private func extending(_ message: String, _ name: String, _ number: UInt64) -> [UInt8] {
    var writer = WireWriter()
    writer.string(1, name)
    writer.string(2, message)
    writer.uint(3, number)
    return writer.bytes
}

/// `a.proto` (package p) imports `b.proto` (package p.q), which imports `c.proto` and a file that is not there.
private let files: [[UInt8]] = [
    named(
        "a.proto", (2, text("p")), (3, text("b.proto")),
        (
            4,
            named("M", (2, named("field")), (3, named("Inner", (8, named("choice")))), (4, named("E", (2, named("V")))))
        ),
        (5, named("Top", (2, named("TOP_VALUE")))), (6, named("S", (2, named("Call")))),
        (7, extending(".p.q.B", "ext", 1000))),
    named("b.proto", (2, text("p.q")), (3, text("c.proto")), (3, text("gone.proto")), (4, named("B"))),
    named("c.proto", (4, named("Bare", (6, extending(".p.q.B", "inner", 7))))),
]

private func catalog() throws -> DescriptorCatalog {
    var set = WireWriter()
    for file in files { set.message(1, file) }
    return try DescriptorCatalog(fileDescriptorSet: set.bytes)
}

/// A `ServerReflectionRequest` with one question.
private func question(_ field: Int, _ value: [UInt8]) -> [UInt8] { message((field, value)) }

private struct Answer {
    var files: [[UInt8]] = []
    var services: [String] = []
    var numbers: [UInt8]?
    var base = ""
    var code: UInt64 = 0
    var text = ""
    var original: [UInt8] = []

    init(_ bytes: [UInt8]) throws {
        let span = bytes.span
        var reader = WireReader(ByteRange(offset: 0, count: bytes.count))
        while let field = try reader.next(in: span) {
            let content = try field.bytes()
            if field.number == 2 { self.original = span.array(content) }
            guard field.number >= 4 else { continue }
            var inner = WireReader(content)
            if field.number == 5 { self.numbers = [] }
            while let part = try inner.next(in: span) {
                switch (field.number, part.number) {
                case (4, 1): self.files.append(span.array(try part.bytes()))
                case (5, 1): self.base = span.string(try part.bytes())
                case (5, 2): self.numbers = span.array(try part.bytes())
                case (6, 1):
                    let entry = try part.bytes()
                    self.services.append(span.string(ByteRange(offset: entry.offset + 2, count: entry.count - 2)))
                case (7, 1): self.code = try part.varint()
                case (7, 2): self.text = span.string(try part.bytes())
                default: Issue.record("unexpected field \(field.number).\(part.number)")
                }
            }
        }
    }
}

@Suite struct ReflectionTests {
    @Test(
        "SVC-09 reflection finds the file that defines a symbol",
        arguments: [
            ("p.M", 0), (".p.M", 0), ("p.M.field", 0), ("p.M.Inner", 0), ("p.M.Inner.choice", 0), ("p.M.E", 0),
            ("p.M.V", 0), ("p.Top", 0), ("p.TOP_VALUE", 0), ("p.S", 0), ("p.S.Call", 0), ("p.ext", 0), ("p.q.B", 1),
            ("Bare", 2), ("Bare.inner", 2),
        ])
    func symbols(_ symbol: String, _ file: Int) throws {
        #expect(try catalog().file(defining: symbol) == file)
    }

    @Test(
        "SVC-09 what is not defined is not found",
        arguments: ["", ".", "p", "p.q", "p.N", "p.M.nothing", "p.q.M", "p.S.Call.x", "p..M", "V", "M", "a.proto"])
    func unknown(_ symbol: String) throws {
        #expect(try catalog().file(defining: symbol) == nil)
    }

    @Test("SVC-09 files come with what they depend on, nearest first; what the set lacks is left out")
    func closure() throws {
        #expect(try catalog().closure(of: 0) == [0, 1, 2])
        #expect(try catalog().closure(of: 2) == [2])
        #expect(try catalog().encoded(1) == files[1])
    }

    @Test("SVC-09 a stream is sent each dependency once, and what it asks for always")
    func sentOnce() throws {
        var answerer = ReflectionAnswerer(catalog: try catalog())
        func ask(_ field: Int, _ value: [UInt8]) throws -> Answer {
            try Answer(try answerer.answer(question(field, value).span))
        }
        #expect(try ask(3, text("b.proto")).files == [files[1], files[2]])
        #expect(try ask(4, text("p.M")).files == [files[0]])
        #expect(try ask(4, text("p.q.B")).files == [files[1]])
    }

    @Test("SVC-09 extensions are found by number and listed")
    func extensions() throws {
        var answerer = ReflectionAnswerer(catalog: try catalog())
        var extended = WireWriter()
        extended.string(1, "p.q.B")
        extended.uint(2, 7)
        #expect(try Answer(try answerer.answer(question(5, extended.bytes).span)).files == [files[2]])
        let all = try Answer(try answerer.answer(question(6, text("p.q.B")).span))
        #expect(all.base == "p.q.B" && all.numbers == [7, 0xE8, 0x07])
        #expect(try Answer(try answerer.answer(question(6, text("p.M")).span)).numbers == [])
        #expect(try Answer(try answerer.answer(question(6, text("p.Gone")).span)).code == 5)
    }

    @Test("SVC-09 reflection lists every service that is served, and no other, also without descriptors")
    func services() throws {
        var answerer = ReflectionAnswerer(catalog: nil)
        let request = question(7, text("*"))
        let answer = try Answer(try answerer.answer(request.span))
        #expect(answer.services == ServiceMethod.servedServices.sorted())
        #expect(answer.services.contains("grpc.health.v1.Health"))
        #expect(answer.original == request)
        let other = try Answer(try answerer.answer(question(4, text("p.M")).span))
        #expect(other.code == 5 && other.text.contains("xds-descriptors.binpb"))
    }

    @Test("SVC-09 what cannot be answered says so, and the stream goes on")
    func errors() throws {
        var answerer = ReflectionAnswerer(catalog: try catalog())
        #expect(try Answer(try answerer.answer([UInt8]().span)).code == 3)
        #expect(try Answer(try answerer.answer(question(3, text("x.proto")).span)).text.contains("x.proto"))
        #expect(throws: WireError.self) { try answerer.answer([0x22, 0x09].span) }
    }

    @Test("a descriptor set that is cut off is an error")
    func malformed() {
        var set = WireWriter()
        set.message(1, files[0])
        #expect(throws: WireError.self) { try DescriptorCatalog(fileDescriptorSet: Array(set.bytes.dropLast(3))) }
    }
}
