import WeirBase
import WeirHTTP2
import WeirTransport
import WeirXDS

/// What one worker serves on its port besides discovery. Confined to the worker's loop.
final class Services {
    private let shared: RelayShared
    private let health: HealthService
    let clientStatus: ClientStatusService
    private let loadReports: LoadReportService

    init(worker: Worker) {
        self.shared = worker.shared
        self.health = HealthService(shared: worker.shared)
        self.clientStatus = ClientStatusService(worker: worker)
        self.loadReports = LoadReportService(worker: worker)
    }

    /// The handler of a call; nil: the call was refused.
    func open(_ method: ServiceMethod, _ call: ServiceCall) -> (any ServiceStream)? {
        switch method {
        case .healthCheck, .healthWatch, .healthList: return self.health.open(method, call)
        case .reflection, .reflectionAlpha:
            call.connection.respond(call.stream)
            return ReflectionStream(call, catalog: self.shared.descriptorCatalog)
        case .streamClientStatus, .fetchClientStatus: return self.clientStatus.open(method, call)
        case .streamLoadStats: return self.loadReports.open(call)
        }
    }

    /// Looks at what time and other threads have changed. Called ten times a second.
    func tick() {
        self.health.refresh()
        self.clientStatus.tick()
        self.loadReports.tick()
    }

    /// Tells clients that the relay is about to go, before connections are asked to leave.
    func drain() { self.health.refresh() }
}
