package import WeirBase
package import WeirConfig
import WeirLoop
import WeirObserve
package import WeirRules
package import WeirSnapshots
package import WeirXDS

/// What a program that has a relay within itself decides by code, where a configuration file has rules and a log.
package struct Embedding: Sendable {
    /// What a client's first request makes of it.
    package enum Placement: Sendable {
        case key(String)
        /// The stream ends INVALID_ARGUMENT with this text.
        case refused(String)
    }

    /// A client rejected a response.
    package struct Nack: Sendable {
        package var nodeID: String
        package var key: String
        package var type: XDSType
        package var version: String
        package var detail: ErrorDetail
    }

    /// Gives each client its key, in place of the rules; nil: the rules do. Called by workers.
    package var key: (@Sendable (RuleRequest) -> Placement)?
    /// Told of rejections; called by workers, between pushes.
    package var onNack: (@Sendable (Nack) -> Void)?
    /// Whether there is a debug endpoint.
    package var hasAdmin = true
    /// Whether anything is logged.
    package var isSilent = false
    /// Where the descriptors of all xDS messages are; nil: where a relay looks for them.
    package var descriptors: String?

    package init() {}

    /// What the program makes of a request, at the one upstream there is; nil: it leaves that to the rules.
    func outcome(of request: RuleRequest, _ configuration: RelayConfiguration) -> RuleOutcome? {
        guard let key = self.key, let upstream = configuration.upstreams.first else { return nil }
        switch key(request) {
        case .key(let key): return .matched(RuleMatch(key: key, rule: "program", upstream: upstream.name))
        case .refused(let text): return .failure(text)
        }
    }
}

/// A relay that runs on threads of its own within a program. Any thread may call everything.
///
/// It is the same relay that `weir serve` runs, without its signals.
package final class EmbeddedRelay: Sendable {
    /// Requests that may wait for the relay's main loop.
    private static let requestsMax = 64

    private let requests = Mailbox<RelayRequest>(capacity: EmbeddedRelay.requestsMax)
    private let thread = Locked<WorkerThread?>(nil)
    private let snapshotsByUpstream = Locked<[String: SnapshotOrigin]>([:])

    package init() {}

    /// Starts it, and returns when it listens or why it cannot. Once only.
    package func start(_ configuration: RelayConfiguration, _ embedding: Embedding) -> Result<Void, StartError> {
        let outcomes = Mailbox<String>(capacity: 1)
        let requests = self.requests
        let origins = self.snapshotsByUpstream
        let thread = WorkerThread(name: "weir-main", stackSize: 8 << 20) {
            // Signals are the business of the program that the relay is a part of.
            Signals.blockAll()
            runEmbedded(configuration, embedding, requests) { snapshots, failure in
                origins.withLock { $0 = snapshots }
                outcomes.post(failure)
            }
        }
        self.thread.withLock { $0 = thread }
        var failure = ""
        let loop = Loop()
        let inbox = Inbox(loop: loop, mailbox: outcomes) { messages in
            failure = messages.first ?? ""
            loop.stop()
        }
        loop.run()
        inbox.cancel()
        guard failure.isEmpty else {
            thread.join()
            return .failure(StartError(failure))
        }
        return .success(())
    }

    /// What the upstreams have that are fed from within the process, by name; empty before the start.
    package var snapshots: [String: SnapshotOrigin] { self.snapshotsByUpstream.withLock { $0 } }

    /// Has clients leave, as SIGTERM does; what is left of them after `timeout` is ended. Then the relay ends.
    package func drain(_ timeout: Nanoseconds) { self.requests.post(.drain(timeout)) }

    /// Waits until the relay has ended.
    package func join() { self.thread.withLock { $0 }?.join() }
}

/// What other threads ask of the main one.
enum RelayRequest: Sendable {
    case drain(Nanoseconds)
}

private func runEmbedded(
    _ configuration: RelayConfiguration, _ embedding: Embedding, _ requests: Mailbox<RelayRequest>,
    outcome: ([String: SnapshotOrigin], _ failure: String) -> Void
) {
    let logger = Logger(
        level: LogLevel(configuration.log.level.rawValue) ?? .info,
        format: configuration.log.format == .json ? .json : .text, isSilent: embedding.isSilent)
    defer { logger.close() }
    do throws(StartError) {
        let relay = try Relay(configuration, [:], logger: logger, embedding: embedding, reload: { (nil, []) })
        try relay.start(takesSignals: false)
        relay.serve(requests)
        outcome(relay.snapshots, "")
        relay.waitForEnd()
    } catch {
        outcome([:], error.description)
    }
}
