import WeirBase
import WeirLoop
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

    private static func message(_ kind: TransportEvent.Kind) -> String {
        switch kind {
        case .acceptPaused: "accepting connections pauses"
        case .acceptFailed: "a connection could not be accepted"
        case .connectionRefused: "connection refused: max_connections is reached"
        case .connectionDelayed: "connection delayed"
        case .connectionRateExceeded: "connection refused: more come in a second than may begin"
        case .connectionShed: "connection refused: memory is short"
        case .handshakeFailed: "handshake failed"
        case .protocolViolated: "a peer broke the rules of HTTP/2"
        case .requestRefused: "request refused by its headers"
        case .keepaliveFailed: "a peer did not answer a PING"
        }
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
            .warning, Self.message(event.kind), linesMax: Self.linesMax,
            [("peer", event.peer?.description ?? ""), ("detail", event.text)])
    }
}
