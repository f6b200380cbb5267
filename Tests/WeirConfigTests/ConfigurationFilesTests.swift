import Glibc
import Testing
import WeirBase
import WeirRules
import WeirXDS

@testable import WeirConfig

/// The folder of the configurations that come with the project.
private let configs = resolved("../../configs", in: folder(of: #filePath))

private func lines(_ path: String) -> [String] {
    guard let bytes = try? readFile(path) else { return [] }
    return String(decoding: bytes, as: UTF8.self).split(separator: "\n").map(String.init)
}

/// Names, without `.yaml`, of every broken file.
private func brokenFiles() -> [String] {
    guard let folder = unsafe opendir("\(configs)/invalid") else { return [] }
    defer { unsafe closedir(folder) }
    var names: [String] = []
    while let entry = unsafe readdir(folder) {
        let name = unsafe withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
            unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
        }
        if name.hasSuffix(".yaml") { names.append(String(name.dropLast(".yaml".count))) }
    }
    return names.sorted()
}

@Suite("Configurations that come with the project")
struct ConfigurationFilesTests {
    @Test("each broken file gives exactly the messages beside it", arguments: brokenFiles())
    func invalid(_ name: String) {
        let folder = "\(configs)/invalid"
        let (configuration, diagnostics) = loadConfiguration(path: "\(folder)/\(name).yaml", environment: [:])
        #expect(configuration == nil)
        let messages = diagnostics.map { String($0.description.replacing(folder + "/", with: "")) }
        let expected = lines("\(folder)/\(name).expected")
        #expect(!expected.isEmpty)
        #expect(messages == expected)
    }

    @Test("the minimal file is valid, and everything else has its default")
    func minimal() throws {
        let (loaded, diagnostics) = loadConfiguration(path: "\(configs)/minimal.yaml", environment: [:])
        #expect(diagnostics.isEmpty)
        let configuration = try #require(loaded)
        #expect(configuration.downstream == DownstreamConfiguration())
        #expect(configuration.downstream.listeners.map(\.address.description) == ["127.0.0.1:18000"])
        #expect(configuration.downstream.limits.requestBytesMax == 33_554_432)
        #expect(configuration.downstream.connectionAgeMax == .seconds(3_600))
        #expect(configuration.admin.address.description == "127.0.0.1:9901")
        #expect(configuration.workers == 0 && configuration.cache.linger == .seconds(30))
        #expect(configuration.log == LogConfiguration() && configuration.guards.rollout == nil)
        let upstream = try #require(configuration.upstreams.first)
        #expect(upstream.name == "primary" && upstream.coldTimeout == .seconds(5))
        let origin = GRPCOriginConfiguration(servers: [.network(host: "127.0.0.1", port: 18001)])
        #expect(upstream.origin == .grpc(origin))
    }
}
