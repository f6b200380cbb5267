import Testing
import WeirBase
import WeirXDS

@Suite struct AcknowledgementTests {
    @Test func readsATypeURLAndANonceInAnyOrder() throws {
        var writer = WireWriter()
        writer.string(6, "w0000001")
        writer.string(2, "type.googleapis.com/x.Y")
        let bytes = writer.bytes
        let read = DeltaAcknowledgement(bytes.span)
        let answer = try #require(read)
        let (typeURL, nonce) = (bytes.span.string(answer.typeURL), bytes.span.string(answer.responseNonce))
        #expect(typeURL == "type.googleapis.com/x.Y")
        #expect(nonce == "w0000001")
    }

    @Test func leavesEverythingElseToTheWholeReader() {
        var long = OutgoingDeltaRequest(typeURL: String(repeating: "t", count: 200))
        long.responseNonce = "n"
        var named = OutgoingDeltaRequest(typeURL: "t")
        named.responseNonce = "n"
        named.subscribe = ["a"]
        var rejecting = OutgoingDeltaRequest(typeURL: "t")
        rejecting.responseNonce = "n"
        rejecting.errorDetail = ErrorDetail(code: 3, message: "no")
        var first = OutgoingDeltaRequest(typeURL: "t")
        first.node = [10, 1, 97]
        for request in [long, named, rejecting, first, OutgoingDeltaRequest(typeURL: "t")] {
            let bytes = request.encoded
            let answer = DeltaAcknowledgement(bytes.span)
            #expect(answer == nil, "\(request)")
        }
    }

    @Test func whatItReadsIsWhatTheWholeReaderReads() throws {
        var generator = SeededGenerator(seed: 4)
        var whole = OutgoingDeltaRequest(typeURL: "type.googleapis.com/x.Y")
        whole.responseNonce = "w0000001"
        var taken = 0
        for _ in 0..<20_000 {
            var bytes = whole.encoded
            for _ in 0..<Int.random(in: 0...3, using: &generator) {
                bytes[Int.random(in: 0..<bytes.count, using: &generator)] = UInt8.random(in: 0...63, using: &generator)
            }
            bytes.removeLast(Int.random(in: 0...2, using: &generator))
            guard let short = DeltaAcknowledgement(bytes.span) else { continue }
            taken += 1
            let long = try DeltaDiscoveryRequest(decoding: bytes.span)
            #expect(long.typeURL == short.typeURL && long.responseNonce == short.responseNonce)
            #expect(long.node == nil && long.subscribe.isEmpty && long.unsubscribe.isEmpty)
            #expect(long.initialVersions.isEmpty && long.errorDetail == nil && !long.hasLocators)
        }
        #expect(taken > 1000)
    }

    @Test func whatItReadsOfSotWIsWhatTheWholeReaderReads() throws {
        var generator = SeededGenerator(seed: 5)
        var whole = OutgoingRequest(typeURL: "type.googleapis.com/x.Y")
        whole.responseNonce = "w0000001"
        whole.versionInfo = "7"
        whole.resourceNames = ["a", "b", "cc"]
        var taken = 0
        for _ in 0..<20_000 {
            var bytes = whole.encoded
            for _ in 0..<Int.random(in: 0...3, using: &generator) {
                bytes[Int.random(in: 0..<bytes.count, using: &generator)] = UInt8.random(in: 0...63, using: &generator)
            }
            bytes.removeLast(Int.random(in: 0...2, using: &generator))
            guard let short = SotWAcknowledgement(bytes.span) else { continue }
            taken += 1
            let long = try DiscoveryRequest(decoding: bytes.span)
            #expect(long.typeURL == short.typeURL && long.responseNonce == short.responseNonce)
            #expect(long.versionInfo == short.versionInfo)
            #expect(long.resourceNames.first?.offset == short.names?.offset)
            #expect(long.resourceNames.last?.end == short.names?.end)
            #expect(long.node == nil && long.errorDetail == nil && !long.hasLocators)
        }
        #expect(taken > 1000)
    }
}
