package import WeirBase
package import WeirConfig
import WeirLoop
import WeirObserve
package import WeirSnapshots

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
