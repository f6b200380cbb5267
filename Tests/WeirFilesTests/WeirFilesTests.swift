import Glibc
import Testing
import WeirBase
import WeirProtobuf
import WeirXDS

@testable import WeirFiles

@Suite struct WeirFilesTests {
    private static let root = "/" + #filePath.split(separator: "/").dropLast(3).joined(separator: "/")

    private func descriptors() throws -> DescriptorSet {
        let bytes = try FolderReader.read(Self.root + "/.build/xds-descriptors.binpb")
        return try DescriptorSet(bytes: bytes)
    }

    private func load(_ files: [String]) throws -> ResourceLoading {
        var loading = ResourceLoading(descriptors: try self.descriptors())
        for (index, text) in files.enumerated() { loading.load(Array(text.utf8), file: "f\(index).yaml") }
        return loading
    }

    private func errors(_ files: [String]) throws -> [String] {
        guard case .failed(let diagnostics) = try self.load(files).result else { return [] }
        return diagnostics.map(\.description)
    }

    @Test("the demo's resources load")
    func demo() throws {
        let path = Self.root + "/configs/resources"
        guard case .loaded(let resources) = loadResources(path: path, descriptors: try self.descriptors()) else {
            Issue.record("not loaded")
            return
        }
        #expect(Set(resources.map(\.typeURL)).isSuperset(of: [XDSType.lds.typeURL, XDSType.cds.typeURL]))
    }

    @Test("YAML, JSON and wrapped resources give names and payloads")
    func formats() throws {
        let loading = try self.load([
            """
            version_info: "1"
            resources:
            - "@type": type.googleapis.com/envoy.config.cluster.v3.Cluster
              name: a
              connect_timeout: 5s
            - "@type": type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment
              cluster_name: b
            """,
            """
            {"resources": [{"@type": "type.googleapis.com/envoy.service.discovery.v3.Resource", "name": "w",
              "resource": {"@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster", "name": "inner"}}]}
            """,
        ])
        guard case .loaded(let resources) = loading.result else {
            Issue.record("\(loading.diagnostics)")
            return
        }
        #expect(resources.map(\.name) == ["a", "b", "w"])
        let bytes = resources[0].any
        let span = bytes.span
        let any = try AnyEnvelope(decoding: ByteRange(offset: 0, count: span.count), in: span)
        #expect(span.string(any.typeURL) == XDSType.cds.typeURL)
    }

    @Test("errors have places, and one error keeps everything out")
    func places() throws {
        let good = """
            resources:
            - "@type": type.googleapis.com/envoy.config.cluster.v3.Cluster
              name: a
            """
        let bad = """
            resources:
            - "@type": type.googleapis.com/envoy.config.cluster.v3.Cluster
              name: b
              load_assignment:
                cluster_name: b
                endpoints:
                - lb_endpointz: []
            - "@type": type.googleapis.com/envoy.config.cluster.v3.Cluster
            - "@type": type.googleapis.com/no.Such
              name: x
            """
        let errors = try self.errors([good, bad])
        #expect(errors.count == 3)
        #expect(errors[0].hasPrefix("f1.yaml:7:7: error: "))
        #expect(errors[1].hasPrefix("f1.yaml:8:3: error: "))
        #expect(errors[2].contains("unknown type"))
        #expect(try self.errors(["resources:\n- name: [\n"]).first?.hasPrefix("f0.yaml:") == true)
        #expect(try self.errors(["resourcez: []\n"]).first?.contains("did you mean \"resources\"?") == true)
    }

    @Test("a name that is there twice is an error that names both places")
    func duplicates() throws {
        let file = """
            resources:
            - "@type": type.googleapis.com/envoy.config.cluster.v3.Cluster
              name: a
            """
        let errors = try self.errors([file, file])
        #expect(errors.count == 1)
        #expect(errors[0].hasPrefix("f1.yaml:2:3: error: ") && errors[0].contains("f0.yaml:2:3"))
    }

    @Test("a path that is not there is an error")
    func missing() throws {
        guard case .failed(let diagnostics) = loadResources(path: "/no/such", descriptors: try self.descriptors())
        else {
            Issue.record("loaded")
            return
        }
        #expect(diagnostics[0].description.contains("/no/such"))
    }
}
