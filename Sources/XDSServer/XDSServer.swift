import Glibc
import WeirBase
import WeirLoop
import WeirServer
import WeirSnapshots

/// An xDS control plane within a program: it listens, gives each client a key, and serves the key's snapshot.
///
/// The server is weir's relay with snapshots in place of an upstream: aggregated and per-type discovery services in SotW and
/// delta, make-before-break order, one encoding for all clients that ask the same, slow readers that cost nothing, health
/// checks, server reflection, client status, Prometheus metrics and the debug page.
///
/// ## Threads
///
/// The server has threads of its own. Every method may be called from any thread. The key function and the handler of
/// rejections are called by the server's workers, several at a time: they must be quick, and must not block.
public final class XDSServer: Sendable {
    private let configuration: Configuration
    private let relay = EmbeddedRelay()
    private let state = Locked(State())

    private struct State: Sendable {
        var phase = Phase.new
        /// What was set before the start.
        var waiting: [(key: String, snapshot: Snapshot?)] = []
        var origin: SnapshotOrigin?
    }

    private enum Phase: Sendable {
        case new, starting, running, stopped
    }

    /// Makes a server; it listens once it is started.
    ///
    /// - Throws: ``XDSServerError`` if the configuration cannot be used.
    public init(_ configuration: Configuration) throws(XDSServerError) {
        _ = try configuration.relayConfiguration
        self.configuration = configuration
    }

    /// A server that nobody has any more ends at once.
    deinit { self.relay.drain(.zero) }

    // MARK: Snapshots

    /// Replaces everything that clients of a key are served. What says the same as before sends nothing; what differs is
    /// pushed type by type, in an order in which nothing is named before it is there.
    ///
    /// A client whose key has no snapshot waits for one, and ends UNAVAILABLE after
    /// ``XDSServer/Configuration/coldTimeout``.
    public func setSnapshot(_ snapshot: Snapshot, for key: String) { self.set(snapshot, for: key) }

    /// Forgets a key's snapshot. Clients keep what they have; new ones wait as if there had never been one.
    public func removeSnapshot(for key: String) { self.set(nil, for: key) }

    /// What clients of a key are served at present.
    public func snapshot(for key: String) -> Snapshot? {
        self.state.withLock { state in
            if let origin = state.origin { return origin.snapshot(for: key).map { Snapshot(content: $0) } }
            return state.waiting.last { $0.key == key }?.snapshot
        }
    }

    private func set(_ snapshot: Snapshot?, for key: String) {
        let origin = self.state.withLock { state -> SnapshotOrigin? in
            if state.origin == nil, state.phase != .stopped {
                state.waiting.removeAll { $0.key == key }
                state.waiting.append((key, snapshot))
            }
            return state.origin
        }
        if let origin = origin { Self.put(snapshot, for: key, into: origin) }
    }

    private static func put(_ snapshot: Snapshot?, for key: String, into origin: SnapshotOrigin) {
        if let snapshot = snapshot {
            origin.set(snapshot.content, for: key, at: Loop.wallNow())
        } else {
            origin.remove(key)
        }
    }

    // MARK: Start and end

    /// Starts to listen, with threads of the server's own, and returns. Once only.
    ///
    /// - Throws: ``XDSServerError`` if an address cannot be listened on, or the server was started before.
    public func start() throws(XDSServerError) {
        let isFirst = self.state.withLock { state -> Bool in
            guard state.phase == .new else { return false }
            state.phase = .starting
            return true
        }
        guard isFirst else { throw XDSServerError(description: "the server was started already; make another one") }
        let outcome = self.relay.start(try self.configuration.relayConfiguration, self.configuration.embedding)
        if case .failure(let error) = outcome {
            self.state.withLock { $0.phase = .stopped }
            throw XDSServerError(description: error.description)
        }
        let origin = self.relay.snapshots[Configuration.upstream]
        // Under the lock, so that what is set meanwhile comes after what was set before.
        self.state.withLock { state in
            if state.phase == .starting { state.phase = .running }
            state.origin = origin
            if let origin = origin {
                for (key, snapshot) in state.waiting { Self.put(snapshot, for: key, into: origin) }
            }
            state.waiting = []
        }
    }

    /// Ends gracefully: health checks say NOT_SERVING, no connection is accepted any more, clients are asked to go elsewhere
    /// (GOAWAY), and those that have not gone after the time are ended. Returns when all is closed; then the server cannot
    /// be started again. A second call returns at once. Not to be called from the key function or the handler of
    /// rejections: it waits for the threads that call these.
    ///
    /// - Parameter timeout: how long clients may take to go; nil: ``XDSServer/Configuration/drainTimeout``.
    public func stop(draining timeout: Duration? = nil) {
        let runs = self.state.withLock { state -> Bool in
            defer { state.phase = .stopped }
            return state.phase == .running || state.phase == .starting
        }
        if runs { self.relay.drain(Nanoseconds(clamping: timeout ?? self.configuration.drainTimeout)) }
        self.relay.join()
    }

    /// Waits on the calling thread until the process is asked to end (SIGTERM or SIGINT), at most so long.
    ///
    /// For a program's main thread: from the first call on these signals do nothing but end this wait. Threads that the
    /// program has started before must have them blocked; those of servers have.
    ///
    /// - Returns: whether it was asked to end.
    public static func waitForTermination(upTo duration: Duration) -> Bool {
        var signals = sigset_t()
        unsafe sigemptyset(&signals)
        for number in [SIGINT, SIGTERM] { unsafe sigaddset(&signals, number) }
        unsafe pthread_sigmask(SIG_BLOCK, &signals, nil)
        let due = Loop.monotonicNow() + Nanoseconds(clamping: duration)
        while true {
            let left = max(.zero, due - Loop.monotonicNow())
            var wait = timespec(
                tv_sec: Int(left.rawValue / 1_000_000_000), tv_nsec: Int(left.rawValue % 1_000_000_000))
            if unsafe sigtimedwait(&signals, nil, &wait) > 0 { return true }
            // Another signal's handler ends the wait early.
            if errno != EINTR { return false }
        }
    }
}

/// Why a server cannot be made or started: what, and what would be right.
public struct XDSServerError: Error, Hashable, Sendable, CustomStringConvertible {
    public let description: String
}
