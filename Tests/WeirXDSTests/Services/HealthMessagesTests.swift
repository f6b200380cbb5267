import Testing
import WeirBase

@testable import WeirXDS

@Suite struct HealthMessagesTests {
    @Test("SVC-09 health knows the whole server and each discovery service, once")
    func services() {
        #expect(HealthMessages.services.first == "")
        #expect(HealthMessages.services.contains("envoy.service.discovery.v3.AggregatedDiscoveryService"))
        #expect(HealthMessages.services.contains("envoy.service.route.v3.VirtualHostDiscoveryService"))
        #expect(HealthMessages.services.count == 14)
        #expect(Set(HealthMessages.services).count == HealthMessages.services.count)
    }

    @Test("SVC-09 a check names a service, or the whole server")
    func request() throws {
        #expect(try HealthMessages.service(decoding: [UInt8]().span) == "")
        #expect(try HealthMessages.service(decoding: [0x0A, 0x01, 0x78].span) == "x")
        #expect(throws: WireError.self) { try HealthMessages.service(decoding: [0x0A, 0x05].span) }
        #expect(throws: WireError.self) { try HealthMessages.service(decoding: [0x08, 0x05].span) }
    }

    @Test("SVC-09 statuses are those of the protocol")
    func statuses() {
        #expect(ServingStatus.serving.encoded == [0x08, 1])
        #expect(ServingStatus.notServing.encoded == [0x08, 2])
        #expect(ServingStatus.serviceUnknown.encoded == [0x08, 3])
    }

    @Test("SVC-09 the list has an entry for every service")
    func list() throws {
        let bytes = HealthMessages.list(.notServing)
        var names: [String] = []
        var reader = WireReader(ByteRange(offset: 0, count: bytes.count))
        while let field = try reader.next(in: bytes.span) {
            #expect(field.number == 1)
            var name = ""
            var entry = WireReader(try field.bytes())
            while let part = try entry.next(in: bytes.span) {
                if part.number == 1 { name = bytes.span.string(try part.bytes()) }
                if part.number == 2 { #expect(bytes.span.array(try part.bytes()) == [0x08, 2]) }
            }
            names.append(name)
        }
        #expect(names == HealthMessages.services)
    }

    @Test("SVC-08 methods are found by their exact path, and no other service is")
    func paths() {
        #expect(ServiceMethod(rawValue: "/grpc.health.v1.Health/Check") == .healthCheck)
        for path in [
            "/grpc.health.v1.Health/check", "/grpc.health.v1.Health", "/grpc.health.v2.Health/Check",
            "/envoy.service.health.v3.HealthDiscoveryService/StreamHealthCheck",
            "/envoy.service.accesslog.v3.AccessLogService/StreamAccessLogs",
            "/envoy.service.cluster.v3.ClusterDiscoveryService/FetchClusters",
        ] {
            #expect(ServiceMethod(rawValue: path) == nil && DiscoveryService.at(path: path) == nil)
        }
        for method in ServiceMethod.allCases { #expect(DiscoveryService.at(path: method.rawValue) == nil) }
    }
}
