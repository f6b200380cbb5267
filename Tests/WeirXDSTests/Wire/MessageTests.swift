import Testing
import WeirBase

@testable import WeirXDS

@Suite struct MessageTests {
    private static var request: OutgoingRequest {
        var request = OutgoingRequest(typeURL: XDSType.cds.typeURL)
        request.node = [0x0A, 0x01, 0x6E]
        request.versionInfo = "v1"
        request.responseNonce = "n1"
        request.resourceNames = ["a", "", "bé"]
        request.errorDetail = ErrorDetail(code: 13, message: "no")
        return request
    }

    private static var deltaRequest: OutgoingDeltaRequest {
        var request = OutgoingDeltaRequest(typeURL: XDSType.eds.typeURL)
        request.node = [0x0A, 0x01, 0x6E]
        request.subscribe = ["a", "*"]
        request.unsubscribe = ["b"]
        request.initialVersions = [.init(name: "a", version: "1"), .init(name: "c", version: "")]
        request.responseNonce = "n1"
        request.errorDetail = ErrorDetail(code: -1, message: "no")
        return request
    }

    private static let response: [UInt8] = {
        var writer = WireWriter()
        writer.string(1, "v1")
        writer.message(2, [0x0A, 0x01, 0x78])
        writer.message(2, [])
        writer.uint(3, 1)
        writer.string(4, XDSType.cds.typeURL)
        writer.string(5, "n1")
        writer.message(6, [0x0A, 0x01, 0x63])
        writer.message(7, [0x0A, 0x01, 0x65])
        return writer.bytes
    }()

    private static let deltaResponse: [UInt8] = {
        var writer = WireWriter()
        writer.string(1, "v1")
        writer.message(2, envelope)
        writer.string(4, XDSType.cds.typeURL)
        writer.string(5, "n1")
        writer.element(6, "gone")
        writer.message(9, [0x0A, 0x01, 0x65])
        return writer.bytes
    }()

    private static let envelope: [UInt8] = {
        var writer = WireWriter()
        writer.string(1, "7")
        writer.message(2, any)
        writer.string(3, "name")
        writer.element(4, "alias")
        writer.message(6, [0x08, 0x05])
        writer.message(7, [0x08, 0x01])
        writer.uint(99, 3)
        return writer.bytes
    }()

    private static let any: [UInt8] = {
        var writer = WireWriter()
        writer.string(1, XDSType.cds.typeURL)
        writer.message(2, [0x0A, 0x04, 0x6E, 0x61, 0x6D, 0x65])
        return writer.bytes
    }()

    private static func whole(_ bytes: [UInt8]) -> ByteRange { ByteRange(offset: 0, count: bytes.count) }

    /// Everything that decodes, on the same bytes: it may fail and must not crash.
    private static func decodeAll(_ bytes: [UInt8]) -> Int {
        let span = bytes.span
        let all = Self.whole(bytes)
        var decoded = 0
        if let request = try? DiscoveryRequest(decoding: span) {
            decoded += 1
            for name in request.resourceNames { _ = span.string(name) }
            if let detail = request.errorDetail { _ = try? ErrorDetail(decoding: detail, in: span) }
        }
        if let request = try? DeltaDiscoveryRequest(decoding: span) {
            decoded += 1
            for entry in request.initialVersions { _ = span.string(entry.name) + span.string(entry.version) }
        }
        if let response = try? DiscoveryResponse(decoding: span) {
            decoded += 1
            for range in response.resources { _ = try? AnyEnvelope(decoding: range, in: span) }
        }
        if let response = try? DeltaDiscoveryResponse(decoding: span) {
            decoded += 1
            for range in response.resources { _ = try? ResourceEnvelope(decoding: range, in: span) }
        }
        if (try? ResourceEnvelope(decoding: all, in: span)) != nil { decoded += 1 }
        if (try? AnyEnvelope(decoding: all, in: span)) != nil { decoded += 1 }
        if (try? ErrorDetail(decoding: all, in: span)) != nil { decoded += 1 }
        return decoded
    }

    @Test("a SotW request comes back as it was sent")
    func request() throws {
        let bytes = Self.request.encoded
        let span = bytes.span
        let request = try DiscoveryRequest(decoding: span)
        let value1 = span.string(request.versionInfo)
        #expect(value1 == "v1")
        let value2 = request.node.map { span.array($0) }
        #expect(value2 == [0x0A, 0x01, 0x6E])
        let value3 = request.resourceNames.map { span.string($0) }
        #expect(value3 == ["a", "", "bé"])
        let value4 = span.string(request.typeURL)
        #expect(value4 == XDSType.cds.typeURL)
        let value5 = span.string(request.responseNonce)
        #expect(value5 == "n1")
        let detail = try #require(request.errorDetail)
        let value6 = try ErrorDetail(decoding: detail, in: span)
        #expect(value6 == ErrorDetail(code: 13, message: "no"))
        #expect(!request.hasLocators)
    }

    @Test("SOTW-14 an error detail without content is an error detail")
    func emptyDetail() throws {
        let request = try DiscoveryRequest(decoding: [UInt8]([0x32, 0x00]).span)
        #expect(request.errorDetail != nil)
        let delta = try DeltaDiscoveryRequest(decoding: [UInt8]([0x3A, 0x00]).span)
        #expect(delta.errorDetail != nil)
    }

    @Test("NAME-13 locators are noticed in both variants")
    func locators() throws {
        let value7 = try DiscoveryRequest(decoding: [UInt8]([0x3A, 0x00]).span).hasLocators
        #expect(value7)
        let value8 = try DeltaDiscoveryRequest(decoding: [UInt8]([0x42, 0x00]).span).hasLocators
        #expect(value8)
        let value9 = try DeltaDiscoveryRequest(decoding: [UInt8]([0x4A, 0x00]).span).hasLocators
        #expect(value9)
    }

    @Test("UP-03 a long error message is cut")
    func longMessage() throws {
        let detail = ErrorDetail(code: 3, message: String(repeating: "x", count: 100_000)).encoded
        let read = try ErrorDetail(decoding: Self.whole(detail), in: detail.span)
        #expect(read.message.utf8.count == ErrorDetail.messageBytesMax)
    }

    @Test("a delta request comes back as it was sent")
    func deltaRequest() throws {
        let bytes = Self.deltaRequest.encoded
        let span = bytes.span
        let request = try DeltaDiscoveryRequest(decoding: span)
        let value10 = request.node.map { span.array($0) }
        #expect(value10 == [0x0A, 0x01, 0x6E])
        let value11 = request.subscribe.map { span.string($0) }
        #expect(value11 == ["a", "*"])
        let value12 = request.unsubscribe.map { span.string($0) }
        #expect(value12 == ["b"])
        let value13 = request.initialVersions.map { span.string($0.name) + "@" + span.string($0.version) }
        #expect(value13 == ["a@1", "c@"])
        let value14 = span.string(request.responseNonce)
        #expect(value14 == "n1")
        let detail = try #require(request.errorDetail)
        let value15 = try ErrorDetail(decoding: detail, in: span).code
        #expect(value15 == -1)
    }

    @Test("responses of both variants are read, unknown fields are passed over")
    func responses() throws {
        let span = Self.response.span
        let response = try DiscoveryResponse(decoding: span)
        let value16 = span.string(response.versionInfo)
        #expect(value16 == "v1")
        let value17 = response.resources.map { span.array($0) }
        #expect(value17 == [[0x0A, 0x01, 0x78], []])
        let value18 = span.string(response.nonce)
        #expect(value18 == "n1")
        #expect(response.resourceErrors.count == 1)
        let deltaSpan = Self.deltaResponse.span
        let delta = try DeltaDiscoveryResponse(decoding: deltaSpan)
        let value19 = delta.resources.map { deltaSpan.array($0) }
        #expect(value19 == [Self.envelope])
        let value20 = delta.removedResources.map { deltaSpan.string($0) }
        #expect(value20 == ["gone"])
        #expect(delta.resourceErrors.count == 1)
    }

    @Test("AGG-22 a resource keeps every field that is not name, version or payload, whole")
    func resourceEnvelope() throws {
        let span = Self.envelope.span
        let envelope = try ResourceEnvelope(decoding: Self.whole(Self.envelope), in: span)
        let value21 = span.string(envelope.name)
        #expect(value21 == "name")
        let value22 = span.string(envelope.version)
        #expect(value22 == "7")
        let value23 = envelope.resource.map { span.array($0) }
        #expect(value23 == Self.any)
        let value24 = envelope.aliases.map { span.string($0) }
        #expect(value24 == ["alias"])
        #expect(envelope.ttl == .seconds(5))
        var extras = WireWriter()
        extras.element(4, "alias")
        extras.message(7, [0x08, 0x01])
        extras.uint(99, 3)
        let value25 = envelope.extras.flatMap { span.array($0) }
        #expect(value25 == extras.bytes)
    }

    @Test("a message that ends within a field is an error at every byte")
    func truncation() throws {
        for bytes in [
            Self.request.encoded, Self.deltaRequest.encoded, Self.response, Self.deltaResponse, Self.envelope, Self.any,
        ] {
            var ends: Set<Int> = [0]
            var reader = WireReader(Self.whole(bytes))
            while let field = try reader.next(in: bytes.span) { ends.insert(field.range.end) }
            for count in 0..<bytes.count {
                let cut = Array(bytes[..<count])
                _ = Self.decodeAll(cut)
                var reader = WireReader(Self.whole(cut))
                func readAll() throws { while try reader.next(in: cut.span) != nil {} }
                if ends.contains(count) {
                    #expect(throws: Never.self) { try readAll() }
                } else {
                    #expect(throws: WireError.self) { try readAll() }
                }
            }
        }
    }

    @Test("random bytes, and messages with random damage, crash nothing", arguments: 0..<8)
    func fuzz(_ seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        let messages = [Self.request.encoded, Self.deltaRequest.encoded, Self.response, Self.deltaResponse]
        var decoded = 0
        for round in 0..<1_500 {
            var bytes: [UInt8]
            if round % 2 == 0 {
                bytes = (0..<Int.random(in: 0...64, using: &generator)).map { _ in
                    .random(in: 0...255, using: &generator)
                }
            } else {
                bytes = messages[round / 2 % messages.count]
                for _ in 0..<Int.random(in: 1...4, using: &generator) {
                    let position = Int.random(in: 0..<bytes.count, using: &generator)
                    bytes[position] = .random(in: 0...255, using: &generator)
                }
            }
            decoded += Self.decodeAll(bytes)
        }
        #expect(decoded > 0)
    }
}
