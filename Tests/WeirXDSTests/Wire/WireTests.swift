import Testing
import WeirBase

@testable import WeirXDS

@Suite struct WireTests {
    private static func fields(_ bytes: [UInt8]) throws -> [WireField] {
        var reader = WireReader(ByteRange(offset: 0, count: bytes.count))
        var fields: [WireField] = []
        while let field = try reader.next(in: bytes.span) { fields.append(field) }
        return fields
    }

    @Test("varints of every length come back", arguments: 0...63)
    func varints(_ shift: Int) throws {
        for value in [UInt64(1) << UInt64(shift), UInt64.max >> UInt64(shift)] {
            var writer = WireWriter()
            writer.uint(7, value)
            #expect(try Self.fields(writer.bytes).map { try $0.varint() } == [value])
        }
    }

    @Test("a varint that is longer than it need be is read")
    func overlong() throws {
        #expect(try Self.fields([0x08, 0x81, 0x80, 0x80, 0x00]).map { try $0.varint() } == [1])
        let tenBytes = [UInt8(0x08)] + Array(repeating: 0x80, count: 9) + [0x00]
        #expect(try Self.fields(tenBytes).map { try $0.varint() } == [0])
        // A tag and a length may be too long as well.
        let field = try #require(try Self.fields([0x8A, 0x00, 0x81, 0x00, 0x41]).first)
        #expect(field.number == 1)
        #expect(try field.bytes() == ByteRange(offset: 4, count: 1))
    }

    @Test("what is no field is an error")
    func malformed() {
        let elevenBytes = [UInt8(0x08)] + Array(repeating: 0x80, count: 10) + [0x00]
        #expect(throws: WireError.self) { try Self.fields(elevenBytes) }
        #expect(throws: WireError.malformed(offset: 0)) { try Self.fields([0x00, 0x01]) }
        #expect(throws: WireError.malformed(offset: 0)) { try Self.fields([0x0B]) }
        #expect(throws: WireError.malformed(offset: 0)) { try Self.fields([0x0C]) }
        #expect(throws: WireError.malformed(offset: 0)) { try Self.fields([0x0E]) }
        // Field number 2^29, and a length of 2^63.
        #expect(throws: WireError.malformed(offset: 0)) { try Self.fields([0x80, 0x80, 0x80, 0x80, 0x10, 0x00]) }
        let hugeLength = [UInt8(0x0A)] + Array(repeating: 0x80, count: 9) + [0x01]
        #expect(throws: WireError.malformed(offset: 1)) { try Self.fields(hugeLength) }
        let largestLength = [UInt8(0x0A)] + Array(repeating: 0xFF, count: 8) + [0x7F]
        #expect(throws: WireError.truncated(offset: 1)) { try Self.fields(largestLength) }
    }

    @Test("each wire type is read, with its place")
    func wireTypes() throws {
        let bytes: [UInt8] = [0x08, 0x05, 0x11, 1, 0, 0, 0, 0, 0, 0, 0x80, 0x1D, 2, 0, 0, 0x80, 0x22, 0x01, 0x41]
        let fields = try Self.fields(bytes)
        #expect(fields.map(\.number) == [1, 2, 3, 4])
        #expect(fields.map(\.range.offset) == [0, 2, 11, 16])
        #expect(fields.map(\.range.count) == [2, 9, 5, 3])
        guard case .fixed64(let long) = fields[1].value, case .fixed32(let short) = fields[2].value else {
            Issue.record("not the fixed types")
            return
        }
        #expect(long == 0x8000_0000_0000_0001)
        #expect(short == 0x8000_0002)
        #expect(throws: WireError.wrongType(field: 1, offset: 0)) { try fields[0].bytes() }
        #expect(throws: WireError.wrongType(field: 4, offset: 16)) { try fields[3].varint() }
    }

    @Test("a reader stays in its range, also where the buffer goes on")
    func range() throws {
        let bytes: [UInt8] = [0xFF, 0x0A, 0x02, 0x41, 0x42, 0xFF]
        var reader = WireReader(ByteRange(offset: 1, count: 4))
        let first = try reader.next(in: bytes.span)?.bytes()
        #expect(first == ByteRange(offset: 3, count: 2))
        let second = try reader.next(in: bytes.span)
        #expect(second?.number == nil)
        var short = WireReader(ByteRange(offset: 1, count: 3))
        #expect(throws: WireError.truncated(offset: 2)) { try short.next(in: bytes.span) }
    }

    @Test("sizes are those of what is written", arguments: [0, 1, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152])
    func sizes(_ count: Int) {
        var writer = WireWriter()
        writer.varint(UInt64(count))
        #expect(WireWriter.size(ofVarint: count) == writer.bytes.count)
        var field = WireWriter()
        field.message(1, Array(repeating: 0, count: count))
        #expect(WireWriter.size(ofField: count) == field.bytes.count)
    }

    @Test("empty strings are left out as fields and kept as elements")
    func emptyStrings() {
        var writer = WireWriter()
        writer.string(1, "")
        writer.uint(2, 0)
        #expect(writer.bytes == [])
        writer.element(3, "")
        #expect(writer.bytes == [0x1A, 0x00])
    }
}
