/// A method of the gRPC port other than discovery, by its path.
///
/// What is neither here nor in `DiscoveryService` is answered UNIMPLEMENTED (SVC-08).
package enum ServiceMethod: String, Hashable, Sendable, CaseIterable {
    case healthCheck = "/grpc.health.v1.Health/Check"
    case healthWatch = "/grpc.health.v1.Health/Watch"
    case healthList = "/grpc.health.v1.Health/List"
    case reflection = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
    case reflectionAlpha = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
    case streamClientStatus = "/envoy.service.status.v3.ClientStatusDiscoveryService/StreamClientStatus"
    case fetchClientStatus = "/envoy.service.status.v3.ClientStatusDiscoveryService/FetchClientStatus"
    case streamLoadStats = "/envoy.service.load_stats.v3.LoadReportingService/StreamLoadStats"

    /// The service's full name.
    package var service: String { String(self.rawValue.dropFirst().prefix { $0 != "/" }) }

    /// The `service` label of the metrics.
    package var label: String {
        switch self {
        case .healthCheck, .healthWatch, .healthList: "health"
        case .reflection, .reflectionAlpha: "reflection"
        case .streamClientStatus, .fetchClientStatus: "client_status"
        case .streamLoadStats: "load_reports"
        }
    }

    package var isHealth: Bool { self.label == "health" }

    /// Full names of all services of the port, discovery first, each once.
    package static let servedServices: [String] = {
        var names: [String] = []
        for name in DiscoveryService.all.map(\.service) + ServiceMethod.allCases.map(\.service)
        where !names.contains(name) {
            names.append(name)
        }
        return names
    }()
}
