import Glibc
import WeirBase
import WeirConfig
import WeirEngine
import WeirHTTP1
import WeirLoop
import WeirObserve
import WeirSnapshots
import WeirStore
import WeirUpstream

/// Takes the snapshots of one upstream over HTTP, for whom has a token, and puts them into its `SnapshotOrigin`.
///
/// Requests are read on a thread of the HTTP library's, and carried out one after another on one of its own: so what a
/// precondition says of a key still holds when the key is changed, and what was answered first is stored first.
final class SnapshotServer: Sendable {
    /// Connections at one time. Nothing is read of a request's body before its token is known.
    private static let connectionsMax: UInt32 = 64
    /// How long an answer waits for the disk.
    private static let storeTimeout = Nanoseconds.seconds(5)
    /// When what could not be stored is tried again.
    private static let storeRetry = Nanoseconds.seconds(5)

    let upstream: String
    let configuration: HTTPOriginConfiguration
    let shared: RelayShared
    let origin: SnapshotOrigin
    private let listener: HTTPListener
    private let thread = AdminThread(name: "weir-snapshots")
    private let disk = Locked(OnDisk())

    /// What is known to be stored.
    private struct OnDisk: Sendable {
        var snapshots: [String: Snapshot] = [:]
        /// Keys whose newest state is not.
        var owed: Set<String> = []
        var isRetryDue = false
    }

    /// Nil unless the upstream is one of those that are fed within the process.
    init?(_ upstream: String, _ configuration: HTTPOriginConfiguration, _ shared: RelayShared) {
        guard let origin = shared.snapshots[upstream] else { return nil }
        self.upstream = upstream
        self.configuration = configuration
        self.shared = shared
        self.origin = origin
        var options = HTTPServerOptions()
        options.bodyBytesMax = configuration.snapshotBytesMax
        options.connectionsMax = Self.connectionsMax
        let logger = shared.logger
        let refused = shared.metrics.snapshots.requests(upstream: upstream, .refused)
        options.admit = { request in
            if AdminAccess.name(of: request.authorization, in: configuration.tokenFile) != nil { return nil }
            refused.add()
            logger.logOften(
                .warning, "snapshot refused", linesMax: 10,
                [
                    ("upstream", upstream), ("method", request.method), ("path", request.path), ("peer", request.peer),
                    ("reason", "no token that is known"),
                ])
            return HTTPRefusal(
                401,
                "it takes a token: send \"Authorization: Bearer TOKEN\" with one of upstreams.\(upstream).http.token_file",
                headers: [("WWW-Authenticate", "Bearer realm=\"weir\"")])
        }
        self.listener = HTTPListener(
            "upstreams.\(upstream).http", configuration.address, options, shared.certificates)
    }

    /// Loads what is stored and listens.
    func start() throws(StartError) {
        self.thread.run { [self] in self.load() }
        try self.listener.start(self.configuration.tls) { [weak self] in self?.receive($0, $1) }
        var status = ServerStatus(
            address: "http\(self.configuration.tls == nil ? "" : "s")://\(self.configuration.address)")
        status.state = .connected
        status.connectedSince = Loop.wallNow()
        var entry = UpstreamBoard.Entry()
        entry.servers = [status]
        self.shared.upstreams.update(self.upstream, part: -1, entry)
        self.shared.logger.log(
            .info, "taking snapshots",
            [
                ("upstream", self.upstream), ("address", self.configuration.address.description),
                ("tls", self.configuration.tls == nil ? "no" : "yes"),
            ])
    }

    func reload(_ configuration: RelayConfiguration) {
        guard case .http(let http)? = configuration.upstream(named: self.upstream)?.origin else { return }
        do throws(StartError) {
            try self.listener.reload(http.tls) { [weak self] in self?.receive($0, $1) }
        } catch {
            self.shared.logger.log(
                .error, "upstreams.\(self.upstream).http.tls not reloaded", [("error", error.description)])
        }
    }

    func stop() {
        self.listener.stop()
        self.thread.stop()
    }

    private func receive(_ request: HTTPRequest, _ responder: HTTPResponder) {
        self.thread.run { [self] in self.serve(request, responder) }
    }

    // MARK: The disk

    private func load() {
        guard let store = self.shared.store else { return }
        let read = Locked<[String: Snapshot]??>(nil)
        let isPosted = store.mailbox.post(
            .readSnapshots(upstream: self.upstream) { snapshots in read.withLock { $0 = .some(snapshots) } })
        guard isPosted, Self.wait(for: { read.withLock { $0 != nil } }),
            case .some(.some(let snapshots)) = read.withLock({ $0 })
        else {
            return self.shared.logger.log(
                .error, "the store cannot be read: snapshots must be put again", [("upstream", self.upstream)])
        }
        let now = Loop.wallNow()
        for (key, snapshot) in snapshots.sorted(by: { $0.key < $1.key }) {
            self.origin.set(snapshot, for: key, at: now)
        }
        self.disk.withLock { $0.snapshots = snapshots }
        self.count()
        if !snapshots.isEmpty {
            self.shared.logger.log(
                .info, "snapshots restored from the store",
                [("upstream", self.upstream), ("keys", String(snapshots.count))])
        }
    }

    /// Whether the present state of a key is on the disk; nil where there is no store. Waits for it.
    func keep(_ key: String) -> Bool? {
        guard let store = self.shared.store else { return nil }
        let snapshot = self.origin.snapshot(for: key)
        let old = self.disk.withLock { $0.owed.contains(key) ? nil : $0.snapshots[key] }
        let outcome = Locked<Bool?>(nil)
        let isPosted = store.mailbox.post(
            .keepSnapshot(StoreGroup(upstream: self.upstream, key: key), snapshot, old: old) { isDone in
                outcome.withLock { $0 = isDone }
            })
        let isKept = isPosted && Self.wait(for: { outcome.withLock { $0 != nil } }) && outcome.withLock { $0 == true }
        let isRetryNew = self.disk.withLock { disk -> Bool in
            disk.snapshots[key] = isKept ? snapshot : nil
            if isKept { disk.owed.remove(key) } else { disk.owed.insert(key) }
            defer { disk.isRetryDue = disk.isRetryDue || !isKept }
            return !isKept && !disk.isRetryDue
        }
        if isRetryNew { self.thread.run(after: Self.storeRetry) { [weak self] in self?.payDebts() } }
        return isKept
    }

    private func payDebts() {
        let owed = self.disk.withLock { disk in
            disk.isRetryDue = false
            return disk.owed
        }
        for key in owed.sorted() where self.keep(key) == false { return }
    }

    private static func wait(for condition: () -> Bool) -> Bool {
        let end = Loop.monotonicNow() + Self.storeTimeout
        while !condition() {
            if Loop.monotonicNow() >= end { return false }
            usleep(500)
        }
        return true
    }

    // MARK: What is told

    func count() {
        let snapshots = self.origin.states.values.compactMap(\.snapshot)
        self.shared.metrics.snapshots.keys(upstream: self.upstream).set(Int64(snapshots.count))
        self.shared.metrics.snapshots.bytes(upstream: self.upstream)
            .set(Int64(snapshots.reduce(0) { $0 + $1.bytes }))
    }

    func note(_ outcome: SnapshotMetrics.Outcome) {
        self.shared.metrics.snapshots.requests(upstream: self.upstream, outcome).add()
    }

    /// What changes something is on record: who, what, from where.
    func audit(_ request: HTTPRequest, _ key: String, _ fields: [(String, String)]) {
        let who = AdminAccess.name(of: request.authorization, in: self.configuration.tokenFile) ?? "unknown"
        self.shared.logger.log(
            .warning, "audit",
            [
                ("who", who), ("method", request.method), ("path", request.path), ("upstream", self.upstream),
                ("key", key),
            ] + fields + [("peer", request.peer)])
    }
}
