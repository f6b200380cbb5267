import Glibc
import Testing

@testable import WeirProtobuf

/// The descriptor set that `make` builds.
enum Descriptors {
    static let path: String = {
        let folders = #filePath.split(separator: "/").dropLast(3)
        return "/" + folders.joined(separator: "/") + "/.build/xds-descriptors.binpb"
    }()

    static func load() throws -> DescriptorSet { try DescriptorSet(bytes: try self.bytes()) }

    static func bytes() throws -> [UInt8] {
        guard let file = unsafe fopen(self.path, "rb") else { throw ProtobufError("\(self.path) is missing: run make") }
        defer { unsafe _ = fclose(file) }
        var result: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = unsafe fread(&chunk, 1, chunk.count, file)
            if count == 0 { return result }
            result += chunk[..<count]
        }
    }
}

@Suite struct WeirProtobufTests {
    private static let cluster = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
    private static let listener = "type.googleapis.com/envoy.config.listener.v3.Listener"
    private static let secret = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"

    @Test("a message goes to bytes and back, nested Any included")
    func roundTrip() throws {
        let set = try Descriptors.load()
        let json = """
            {"name":"l","address":{"socket_address":{"address":"127.0.0.1","port_value":10000}},
            "filter_chains":[{"filters":[{"name":"tcp","typed_config":{
            "@type":"type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
            "stat_prefix":"p","cluster":"c"}}]}]}
            """
        let bytes = try set.encode(json: json, typeURL: Self.listener)
        let text = try set.json(typeURL: Self.listener, bytes: bytes, redacting: false)
        #expect(text.contains("\"stat_prefix\":\"p\""))
        #expect(text.contains("\"port_value\":10000"))
        #expect(try set.encode(json: text, typeURL: Self.listener) == bytes)
        #expect(try set.json(typeURL: Self.listener, bytes: bytes, redacting: true) == text)
    }

    @Test("what cannot be encoded is said by libprotobuf's words")
    func errors() throws {
        let set = try Descriptors.load()
        #expect(throws: ProtobufError.self) { try set.encode(json: "{\"nmae\":\"x\"}", typeURL: Self.cluster) }
        #expect(throws: ProtobufError.self) { try set.encode(json: "{", typeURL: Self.cluster) }
        #expect(throws: ProtobufError.self) { try set.encode(json: "{}", typeURL: "type.googleapis.com/no.Such") }
        #expect(throws: ProtobufError.self) {
            try set.json(typeURL: Self.cluster, bytes: [0x0A, 0xFF], redacting: true)
        }
        #expect(throws: ProtobufError.self) { try DescriptorSet(bytes: [1, 2, 3]) }
        #expect(set.knows(typeURL: Self.cluster))
        #expect(!set.knows(typeURL: "type.googleapis.com/no.Such"))
    }

    @Test("SVC-03 private keys and passwords never appear", arguments: [true, false])
    func redaction(nested: Bool) throws {
        let set = try Descriptors.load()
        let secret = """
            {"name":"s","tls_certificate":{"certificate_chain":{"inline_string":"CHAIN"},
            "private_key":{"inline_string":"VERY-PRIVATE"},"password":{"inline_bytes":"VkVSWS1QUklWQVRF"}}}
            """
        var type = Self.secret
        var bytes = try set.encode(json: secret, typeURL: type)
        if nested {
            type = "type.googleapis.com/envoy.service.discovery.v3.Resource"
            let inner = "{\"@type\":\"\(Self.secret)\"," + secret.drop { $0 != "{" }.dropFirst()
            bytes = try set.encode(json: "{\"name\":\"s\",\"resource\":\(inner)}", typeURL: type)
        }
        let text = try set.json(typeURL: type, bytes: bytes, redacting: true)
        #expect(text.contains("CHAIN"))
        #expect(text.contains("[redacted]"))
        #expect(!text.contains("VERY-PRIVATE"))
        #expect(!text.contains("VkVSWS1QUklWQVRF"))
    }
}
