import WeirBase
import WeirObserve
import WeirTransport

/// Counts what the transport of one worker tells, and logs it: a few lines of each kind, whatever comes.
/// Confined to the worker's loop.
final class TransportLog {
    private let logger: Logger
    private let metrics: RelayMetrics
    private static let linesMax = 20

    init(_ shared: RelayShared) {
        self.logger = shared.logger
        self.metrics = shared.metrics
    }

    func note(_ event: TransportEvent) {
        switch event.kind {
        case .acceptPaused, .acceptFailed: self.metrics.acceptPauses.add()
        case .connectionRefused: self.metrics.rejected(.tooManyConnections).add()
        case .connectionDelayed: return self.metrics.connectionsDelayed.add()
        case .connectionRateExceeded: self.metrics.rejected(.connectionRate).add()
        case .connectionShed: self.metrics.rejected(.memory).add()
        case .handshakeFailed: self.metrics.rejected(.handshake).add()
        case .protocolViolated: self.metrics.rejected(.brokenConnection).add()
        case .requestRefused: self.metrics.rejected(.badHeaders).add()
        case .keepaliveFailed: break
        }
        self.logger.logOften(
            .warning, "transport: \(event.text)", kind: "transport: \(event.kind.rawValue)", linesMax: Self.linesMax,
            [("kind", event.kind.rawValue)])
    }
}
