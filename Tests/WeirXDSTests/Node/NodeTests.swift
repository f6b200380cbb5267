import Testing

@testable import WeirXDS

@Suite("Node")
struct NodeTests {
    private let metadata: [String: MetadataValue] = [
        "tier": .string("gold"), "port": .number(8080), "ratio": .number(0.5), "on": .bool(true), "none": .null,
        "list": .list([.string("a"), .object(["k": .string("v")])]), "app.kubernetes.io/name": .string("cart"),
        "a": .object(["b.c": .number(1), "b": .object(["d": .number(2)])]),
    ]

    private var node: Node {
        Node(
            id: "n", cluster: "c", metadata: self.metadata, region: "r", zone: "z", subZone: "s",
            userAgentName: "envoy", userAgentVersion: "1.2.3", clientFeatures: ["x", ""])
    }

    @Test("what was encoded decodes to the same fields")
    func roundTrip() throws {
        let again = try Node(decoding: self.node.raw)
        #expect(again == self.node)
        #expect(again.id == "n" && again.cluster == "c")
        #expect(again.metadata == self.metadata && again.hasMetadata)
        #expect([again.region, again.zone, again.subZone] == ["r", "z", "s"])
        #expect([again.userAgentName, again.userAgentVersion] == ["envoy", "1.2.3"])
        #expect(again.clientFeatures == ["x", ""])
        #expect(try Node(decoding: []).hasMetadata == false)
        #expect(try Node(decoding: Node(id: "", metadata: [:]).raw).hasMetadata)
    }

    @Test("SVC-01 the summary of a node is bounded, and leaves out what is long and says nothing about the client")
    func summary() throws {
        func field(_ number: Int, _ count: Int) -> [UInt8] {
            var writer = WireWriter()
            writer.message(number, Array(repeating: 0x2E, count: count))
            return writer.bytes
        }
        let raw = self.node.raw
        #expect(try Node(decoding: raw + field(9, 100_000) + field(11, 3)).summary == raw)
        let text = String(repeating: "m", count: Node.summaryBytesMax)
        let large = Node(id: "n", cluster: "c", metadata: ["m": .string(text)], region: "r")
        #expect(large.summary == Node(id: "n", cluster: "c", region: "r").raw)
        let features = Node(id: "n", cluster: "c", clientFeatures: [text])
        #expect(features.summary == Node(id: "n", cluster: "c").raw)
    }

    @Test("bytes as Envoy writes them: build version, unknown fields, a wrapped double")
    func wire() throws {
        let bytes: [UInt8] =
            [0x0A, 1, 0x61] + [0x42, 8, 0x0A, 6, 8, 1, 16, 37, 24, 2]  // id "a"; build version 1.37.2
            + [0x1A, 16, 0x0A, 14, 0x0A, 1, 0x70, 0x12, 9, 0x11, 0, 0, 0, 0, 0, 0x90, 0xBF, 0x40]  // metadata {p: 8080}
            + [0x7A, 1, 0xFF]  // field 15, unknown
        let node = try Node(decoding: bytes)
        #expect(node.id == "a" && node.userAgentVersion == "1.37.2")
        #expect(node.metadata == ["p": .number(8080)])
        #expect(node.raw == bytes)
    }

    @Test("replacing id and cluster leaves every other byte as it was")
    func replacing() throws {
        let bytes: [UInt8] = [0x7A, 1, 0xFF, 0x12, 1, 0x63, 0x0A, 1, 0x61, 0x32, 1, 0x75]
        let node = try Node(decoding: bytes).replacing(id: "weir/k", cluster: nil)
        #expect(node.raw == [0x0A, 6] + Array("weir/k".utf8) + [0x12, 1, 0x63, 0x7A, 1, 0xFF, 0x32, 1, 0x75])
        #expect(try Node(decoding: node.raw).id == "weir/k")
        #expect(node.cluster == "c" && node.userAgentName == "u")
    }

    @Test(
        "a path descends into objects and lists, and finds names that hold dots",
        arguments: [
            (["tier"], "gold"), (["port"], "8080"), (["ratio"], "0.5"), (["on"], "true"), (["none"], nil),
            (["list", "0"], "a"), (["list", "1", "k"], "v"), (["list", "2"], nil), (["list", "01"], nil),
            (["list", "-1"], nil), (["list"], nil), (["app", "kubernetes", "io/name"], "cart"), (["a", "b", "c"], "1"),
            (["a", "b", "d"], "2"), (["a", "b"], nil), (["tier", "x"], nil), (["gone"], nil),
        ] as [([String], String?)])
    func paths(_ path: [String], _ text: String?) {
        #expect(MetadataValue.object(self.metadata).value(at: path[...])?.text == text)
    }

    @Test(
        "numbers print as in JSON",
        arguments: [
            (0, "0"), (-7, "-7"), (9_007_199_254_740_991, "9007199254740991"), (1e300, "1e+300"), (0.1, "0.1"),
            (.nan, nil), (.infinity, nil),
        ] as [(Double, String?)])
    func numbers(_ value: Double, _ text: String?) {
        #expect(MetadataValue.number(value).text == text)
    }

    @Test("metadata beyond its bounds, and text that is no UTF-8, are errors")
    func bounds() {
        var deep = MetadataValue.null
        for _ in 1..<Node.metadataDepthMax { deep = .list([deep]) }
        #expect(throws: Never.self) { try Node(decoding: Node(id: "", metadata: ["a": deep]).raw) }
        let deeper = Node(id: "", metadata: ["a": .list([deep])])
        #expect(throws: NodeError.metadataTooDeep) { try Node(decoding: deeper.raw) }
        let large = MetadataValue.list(Array(repeating: .null, count: Node.metadataValuesMax))
        #expect(throws: NodeError.metadataTooLarge) { try Node(decoding: Node(id: "", metadata: ["a": large]).raw) }
        #expect(throws: NodeError.notUTF8(offset: 2)) { try Node(decoding: [0x0A, 1, 0xFF]) }
    }

    // Not a measurement: where each piece copies what came before, this takes many minutes.
    @Test("metadata in very many pieces is read in one go", .timeLimit(.minutes(1)))
    func pieces() throws {
        let fields = (0..<25_000).map { ("key of an entry \($0)", MetadataValue.bool(true)) }
        let node = Node(id: "n", metadata: Dictionary(uniqueKeysWithValues: fields))
        let piece: [UInt8] = [0x1A, 5, 0x0A, 3, 0x0A, 1, 0x61]
        let read = try Node(decoding: node.raw + Array(repeating: piece, count: 30_000).joined())
        #expect(read.metadata.count == 25_001)
    }

    @Test("every cut of a message is an error or a shorter node, never a crash")
    func truncation() throws {
        let bytes = self.node.raw
        for count in 0..<bytes.count { _ = try? Node(decoding: Array(bytes[..<count])) }
        for i in bytes.indices {
            for flip in [0x01, 0x80, 0xFF] as [UInt8] {
                var damaged = bytes
                damaged[i] ^= flip
                if let node = try? Node(decoding: damaged) {
                    #expect((try? Node(decoding: node.replacing(id: "x", cluster: "y").raw))?.id == "x")
                }
            }
        }
    }
}
