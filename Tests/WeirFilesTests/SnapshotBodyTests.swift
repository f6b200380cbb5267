import Glibc
import Testing
import WeirBase
import WeirProtobuf
import WeirXDS

@testable import WeirFiles

/// What is put over HTTP, and what is said of its mistakes.
@Suite struct SnapshotBodyTests {
    private static let root = "/" + #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
    private static let cds = XDSType.cds.typeURL

    private func descriptors() throws -> DescriptorSet {
        try DescriptorSet(bytes: try FolderReader.read(Self.root + "/.build/xds-descriptors.binpb"))
    }

    private func read(_ text: String, type: String? = nil) throws -> SnapshotReading {
        readSnapshot(json: Array(text.utf8), typeURL: type, descriptors: try self.descriptors())
    }

    /// `INDEX NAME FIELD: MESSAGE` of each mistake.
    private func faults(_ text: String, type: String? = nil) throws -> [String] {
        let faults: [SnapshotFault]
        switch try self.read(text, type: type) {
        case .read: return []
        case .malformed(let fault): faults = [fault]
        case .invalid(let several): faults = several
        }
        return faults.map { fault in
            "\(fault.index.map(String.init) ?? "-") \(fault.name) \(fault.field): \(fault.message)"
        }
    }

    private func body(_ reading: SnapshotReading) throws -> SnapshotBody {
        guard case .read(let body) = reading else {
            Issue.record("\(reading)")
            return SnapshotBody()
        }
        return body
    }

    @Test("JSON and Protobuf give the same resources, wrapped ones by the wrapper's name")
    func formats() throws {
        let json = try self.body(
            self.read(
                #"""
                {"versionInfo": "7", "resources": [
                  {"@type": "\#(Self.cds)", "name": "a", "connect_timeout": "5s"},
                  {"@type": "\#(XDSType.wrapperURL)", "name": "w", "resource": {"@type": "\#(Self.cds)", "name": "b"}},
                  {"@type": "\#(XDSType.eds.typeURL)", "clusterName": "a"}]}
                """#))
        #expect(json.version == "7")
        #expect(json.resources.map(\.name) == ["a", "w", "a"])
        var wrapper = WireWriter()
        wrapper.message(2, json.resources[1].any)
        wrapper.string(3, "w")
        var wrapped = WireWriter()
        wrapped.string(1, XDSType.wrapperURL)
        wrapped.message(2, wrapper.bytes)
        var response = WireWriter()
        response.string(1, "7")
        for any in [json.resources[0].any, wrapped.bytes, json.resources[2].any] { response.message(2, any) }
        let protobuf = try self.body(
            readSnapshot(protobuf: response.bytes, typeURL: nil, descriptors: self.descriptors()))
        #expect(protobuf.version == json.version && protobuf.resources == json.resources)
    }

    @Test("every mistake is told with its resource and its field")
    func mistakes() throws {
        let text = #"""
            {"resources": [
              {"@type": "\#(Self.cds)", "name": "a", "nmae": "x"},
              {"@type": "\#(Self.cds)", "name": "b", "load_assignment": {"endpoints": [{"lb_endpionts": []}]}},
              {"@type": "\#(Self.cds)", "name": "c", "connect_timeout": "soon"},
              {"@type": "\#(Self.cds)"},
              {"@type": "\#(Self.cds)", "name": "d"}, {"@type": "\#(Self.cds)", "name": "d"},
              {"@type": "envoy.config.cluster.v3.Cluster", "name": "e"}]}
            """#
        let faults = try self.faults(text)
        #expect(faults.count == 6)
        #expect(faults.first == "0 a nmae: Cannot find field.")
        #expect(faults.dropFirst().first == "1 b load_assignment.endpoints[0].lb_endpionts: Cannot find field.")
        #expect(faults.dropFirst(2).first?.hasPrefix("2 c connect_timeout: ") == true, "\(faults)")
        #expect(faults.dropFirst(3).first?.hasPrefix("3  name: missing") == true)
        #expect(faults.dropFirst(4).first == "5 d : it is here twice: also resources[4]")
        #expect(faults.last == "6 e @type: the type is to be written as \"\(Self.cds)\"")
    }

    @Test(
        "what is no snapshot is told as a whole, with its place",
        arguments: [
            ("{\"resources\": [\n 1,, 2]}", "-  : line 2, column 4: a value is expected"),
            ("[]", "-  : expected an object with \"resources\""),
            ("{}", "-  resources: missing: a list of resources with \"@type\", which may be empty"),
            (#"{"resources": {}}"#, "-  resources: expected a list"),
            (#"{"resources": [], "resourecs": []}"#, "-  resourecs: unknown field; did you mean \"resources\"?"),
            (#"{"resources": [], "type_url": "x"}"#, ""),
        ])
    func documents(text: String, expected: String) throws {
        #expect(try self.faults(text) == (expected.isEmpty ? [] : [expected]))
    }

    @Test("a type of its own takes no other")
    func oneType() throws {
        let text = #"{"resources": [{"@type": "\#(Self.cds)", "name": "a"}]}"#
        #expect(try self.faults(text, type: Self.cds) == [])
        #expect(
            try self.faults(text, type: XDSType.lds.typeURL)
                == ["0 a @type: it is not of the type of the path, \"\(XDSType.lds.typeURL)\""])
        #expect(try self.faults(#"{"type_url": "x", "resources": []}"#, type: Self.cds).count == 1)
    }

    @Test("of very many mistakes the first hundred are told")
    func bounded() throws {
        let many = Array(repeating: "{}", count: 500).joined(separator: ",")
        #expect(try self.faults("{\"resources\": [\(many)]}").count == 100)
    }

    @Test("bytes that are no message, and payloads that are none of their type, are refused")
    func bytes() throws {
        let descriptors = try self.descriptors()
        guard case .malformed = readSnapshot(protobuf: [0xFF, 0xFF], typeURL: nil, descriptors: descriptors) else {
            Issue.record("taken")
            return
        }
        var cluster = WireWriter()
        cluster.string(1, "a")
        // load_assignment, which is a message, as three bytes of nonsense.
        cluster.message(33, [0x0A, 0xFF, 0xFF])
        var any = WireWriter()
        any.string(1, Self.cds)
        any.message(2, cluster.bytes)
        var response = WireWriter()
        response.message(2, any.bytes)
        guard case .invalid(let faults) = readSnapshot(protobuf: response.bytes, typeURL: nil, descriptors: descriptors)
        else {
            Issue.record("taken")
            return
        }
        #expect(faults.map(\.name) == ["a"] && faults[0].message == "the bytes are no envoy.config.cluster.v3.Cluster")
    }
}
