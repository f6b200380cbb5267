import Testing
import WeirBase
import WeirXDS

@testable import WeirStore

@Suite("Records of the store")
struct RecordTests {
    static let typeRecord: TypeRecord = {
        var record = TypeRecord()
        record.isDelta = true
        var lane = TypeRecord.Lane()
        lane.version = "7"
        lane.acceptedFrom = "cp-1:18000"
        lane.acceptedVersion = "7"
        record.wildcard = lane
        lane.isDerived = true
        record.named = lane
        record.equalVersions = ["8", ""]
        record.updated = WallTime(rawValue: 1_767_225_600_000_000_000)
        return record
    }()

    static let resource: ResourceRecord = {
        var record = ResourceRecord(name: "a", isWildcard: true, presence: .present)
        record.element = [10, 1, 49, 26, 1, 97]
        record.source = "cp-1:18000"
        record.collection = "xdstp://x/*"
        record.timeToLive = .seconds(5)
        record.expires = WallTime(rawValue: 42)
        return record
    }()

    private static let key = StoreKey(upstream: "primary", key: "web", typeURL: XDSType.cds.typeURL)

    @Test("what is written is what is read")
    func roundTrip() throws {
        let decoded = try TypeRecord.decode(Self.typeRecord.encoded(Self.key))
        #expect(decoded.key == Self.key && decoded.record == Self.typeRecord)
        #expect(try ResourceRecord(decoding: Self.resource.encoded) == Self.resource)
        let absent = ResourceRecord(name: "", isWildcard: false, presence: .absent)
        #expect(try ResourceRecord(decoding: absent.encoded) == absent)
    }

    @Test("no truncation and no flip of bits gets through the checksum, and none ends the process without it")
    func damage() {
        let key = StoreKeys.resource(1, isWildcard: true, name: "a")
        for body in [Self.resource.encoded, Self.typeRecord.encoded(Self.key)] {
            let sealed = Sealed.seal(body, key: key)
            #expect(Sealed.open(sealed, key: key) == body)
            #expect(Sealed.open(sealed, key: key + [0]) == nil)
            for count in 0..<sealed.count { #expect(Sealed.open(Array(sealed.prefix(count)), key: key) == nil) }
            for bit in 0..<8 * sealed.count {
                var flipped = sealed
                flipped[bit / 8] ^= 1 << UInt8(bit % 8)
                #expect(Sealed.open(flipped, key: key) == nil)
            }
            for bit in 0..<8 * body.count {
                var flipped = body
                flipped[bit / 8] ^= 1 << UInt8(bit % 8)
                _ = try? ResourceRecord(decoding: flipped)
                _ = try? TypeRecord.decode(flipped)
            }
            for count in 0..<body.count {
                _ = try? ResourceRecord(decoding: Array(body.prefix(count)))
                _ = try? TypeRecord.decode(Array(body.prefix(count)))
            }
        }
    }

    @Test("fields of later versions are skipped; a kind of presence that is not known is an error")
    func unknown() throws {
        var writer = WireWriter()
        writer.bytes = Self.resource.encoded
        writer.string(99, "later")
        #expect(try ResourceRecord(decoding: writer.bytes) == Self.resource)
        writer.uint(2, 77)
        #expect(throws: WireError.self) { try ResourceRecord(decoding: writer.bytes) }
    }

    @Test("keys fit, sort by type and lane, and long names do not meet")
    func keys() {
        let long = String(repeating: "n", count: 600)
        let one = StoreKeys.resource(1, isWildcard: false, name: long + "1")
        let two = StoreKeys.resource(1, isWildcard: false, name: long + "2")
        #expect(one != two && one.count <= 511)
        #expect(StoreKeys.resource(1, isWildcard: true, name: "z").starts(with: StoreKeys.lane(1, isWildcard: true)))
        #expect(StoreKeys.id(of: StoreKeys.type(0x0102_0304_0506_0708)) == 0x0102_0304_0506_0708)
        #expect(StoreKeys.id(of: [1, 2]) == nil)
    }
}
