import Testing
import WeirBase

@testable import WeirXDS

@Suite struct ClientStatusMessagesTests {
    @Test("SVC-03 a request has matchers, where they stand, and the wish for contents")
    func request() throws {
        let bytes: [UInt8] = [0x0A, 2, 0x0A, 0, 0x12, 1, 0x0A, 0x18, 1, 0x0A, 0]
        let request = try ClientStatusRequest(decoding: bytes.span)
        #expect(request.nodeMatchers == [ByteRange(offset: 2, count: 2), ByteRange(offset: 11, count: 0)])
        #expect(request.excludesContents)
        #expect(try !ClientStatusRequest(decoding: [UInt8]().span).excludesContents)
        #expect(throws: WireError.self) { try ClientStatusRequest(decoding: [0x18].span) }
        #expect(throws: WireError.self) { try ClientStatusRequest(decoding: [0x08, 1].span) }
    }

    @Test("SVC-01 a config has config_status and no client_status, and the error of a rejection")
    func config() {
        var config = GenericXDSConfig(typeURL: "t", name: "n", version: "v", status: .error)
        config.content = [7]
        config.updated = WallTime(rawValue: 2_000_000_003)
        config.error = ("w", "why", WallTime(rawValue: 1_000_000_000))
        #expect(
            config.encoded == [
                0x0A, 1, 0x74, 0x12, 1, 0x6E, 0x1A, 1, 0x76, 0x22, 1, 7, 0x2A, 4, 0x08, 2, 0x10, 3, 0x30, 4,
                0x42, 12, 0x12, 2, 0x08, 1, 0x1A, 3, 0x77, 0x68, 0x79, 0x22, 1, 0x77,
            ])
        #expect([ConfigStatus.synced, .notSent, .stale, .error].map(\.rawValue) == [1, 2, 3, 4])
    }

    @Test("SVC-01 a response has one config for each client, with its node, its resources and its key")
    func response() {
        var writer = ClientStatusResponseWriter()
        writer.add(node: [0x0A, 1, 0x61], scope: "k", configs: [[1], [2, 3]])
        writer.add(node: [], scope: "", configs: [])
        #expect(
            writer.bytes == [
                0x0A, 15, 0x0A, 3, 0x0A, 1, 0x61, 0x1A, 1, 1, 0x1A, 2, 2, 3, 0x22, 1, 0x6B, 0x0A, 2, 0x0A, 0,
            ])
        #expect(writer.count == writer.bytes.count)
    }
}
