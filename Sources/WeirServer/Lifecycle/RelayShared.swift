import Synchronization
import WeirBase
import WeirConfig
import WeirEngine
import WeirLoop
import WeirObserve
import WeirProtobuf
import WeirRules
import WeirSnapshots
import WeirTransport
import WeirXDS

/// What all threads of one relay share: immutable values, counters, and the ways to each other.
final class RelayShared: Sendable {
    let configuration: RelayConfiguration
    let logger: Logger
    let metrics: RelayMetrics
    let links: [WorkerLink]
    let reports: [WorkerReport]
    let resolver = Resolver()
    let quota: ConnectionQuota
    let memory: MemoryWatch
    let groupCount = GroupCount()
    let files: FilesOrigins
    /// What the upstreams have that are fed from within the process, by name.
    let snapshots: [String: SnapshotOrigin]
    let upstreams: UpstreamBoard
    /// The last good state on disk; nil: none is kept.
    let store: StoreDesk?
    /// Where spans go; nil: none are made.
    let traces: TraceExporter?
    /// The history of pushes and the live events.
    let journal: JournalDesk
    /// What guards and operators keep from clients.
    let holds = HoldBoard()
    /// When the certificates in use end.
    let certificates = CertificateBoard()
    /// `admin.metrics_keys`, the newest.
    let metricsKeys: Locked<Int>
    /// Which groups hold something else than their upstream says.
    let drift = DriftBoard()
    /// How the workers' self-check clients fare.
    let freshness: FreshnessBoard
    /// The last minutes, for `/activity`; written by the main thread.
    let activity = Locked(RecentActivity())
    /// The rules in force, for `/explain`; workers have their own copy.
    let rules: Locked<AggregationRules>
    /// The same for `identity`.
    let identity: Locked<IdentityRules>
    /// `downstream.drain_timeout`, the newest.
    let drainTimeout: Locked<Nanoseconds>
    /// Listening sockets that workers cannot open each for themselves, by path.
    let unixListeners: [String: Descriptor]
    /// Listening sockets that the service manager keeps open for this process.
    let passed: PassedSockets
    let startedAt: WallTime
    let startedAtMonotonic: Instant
    /// `control_plane.identifier` of every response.
    let identifier: String
    let lifecycle = Lifecycle()
    /// Clients that are turned away come again and again; the counters have them all.
    /// Turns what workers have found into text and messages.
    let renderer = AdminThread()
    /// Where homes do what would hold their loops up.
    let large = LargeWork()
    /// Questions about clients that are being answered.
    let statusQuestions = GroupCount()
    /// Nil without a descriptor set.
    let descriptors: DescriptorSet?
    /// What server reflection answers from; nil without a descriptor set.
    let descriptorCatalog: DescriptorCatalog?
    /// What the program decides that the relay is a part of.
    let embedding: Embedding

    init(
        configuration: RelayConfiguration, logger: Logger, workers: Int, files: FilesOrigins,
        upstreams: UpstreamBoard, unixListeners: [String: Descriptor], passed: PassedSockets, identifier: String,
        descriptors: DescriptorSet?, descriptorCatalog: DescriptorCatalog?, embedding: Embedding
    ) {
        self.embedding = embedding
        self.configuration = configuration
        self.logger = logger
        let snapshotUpstreams: [String] = configuration.upstreams.compactMap { upstream in
            if case .http = upstream.origin { upstream.name } else { nil }
        }
        self.metrics = RelayMetrics(
            upstreams: configuration.upstreams.map { upstream in
                if case .grpc(let origin) = upstream.origin {
                    return (upstream.name, origin.servers.map(\.description))
                }
                return (upstream.name, [])
            },
            snapshotUpstreams: snapshotUpstreams, version: weirVersion, workers: workers)
        let metrics = self.metrics
        self.traces = configuration.tracing.map { TraceExporter($0, metrics, logger) }
        self.links = (0..<workers).map { WorkerLink(index: $0) }
        self.reports = (0..<workers).map { _ in WorkerReport() }
        self.metricsKeys = Locked(configuration.admin.metricsKeys)
        self.freshness = FreshnessBoard(workers: workers)
        self.quota = ConnectionQuota(connectionsMax: configuration.downstream.limits.connectionsMax)
        self.memory = MemoryWatch(budget: configuration.downstream.limits.memoryMax)
        self.files = files
        self.snapshots = Self.snapshotOrigins(configuration, files, self.links)
        self.upstreams = upstreams
        self.store = configuration.cache.store.map {
            StoreDesk($0, snapshotUpstreams: Set(snapshotUpstreams))
        }
        self.rules = Locked(configuration.aggregation)
        self.identity = Locked(configuration.identity)
        self.drainTimeout = Locked(configuration.downstream.drainTimeout)
        self.unixListeners = unixListeners
        self.passed = passed
        let startedAt = Loop.wallNow()
        self.startedAt = startedAt
        self.journal = JournalDesk(startedAt: startedAt)
        self.startedAtMonotonic = Loop.monotonicNow()
        self.identifier = identifier
        self.descriptors = descriptors
        self.descriptorCatalog = descriptorCatalog
    }

    private static func snapshotOrigins(
        _ configuration: RelayConfiguration, _ files: FilesOrigins, _ links: [WorkerLink]
    ) -> [String: SnapshotOrigin] {
        var origins: [String: SnapshotOrigin] = [:]
        for upstream in configuration.upstreams {
            let name = upstream.name
            let tell: @Sendable (Int, String) -> Bool = { worker, key in
                links[worker].post(.snapshot(upstream: name, source: key))
            }
            switch upstream.origin {
            case .grpc: continue
            case .program:
                origins[name] = SnapshotOrigin(
                    kind: "program", tell: tell, missing: { "no snapshot was set for key \"\($0)\" so far" })
            case .files:
                origins[name] = SnapshotOrigin(
                    kind: "files", tell: tell,
                    demand: { path, isWanted in files.demand(path: path, upstream: name, isWanted) },
                    missing: { "\($0) is not loaded yet" })
            case .http:
                origins[name] = SnapshotOrigin(
                    kind: "http", tell: tell, missing: { "no snapshot was put for key \"\($0)\" so far" })
            }
        }
        return origins
    }

    private let wasAnswered = Atomic<Bool>(false)

    /// Whether somebody waits for resources and no upstream has ever answered.
    var isCold: Bool { self.groupCount.value > 0 && !self.wasAnswered.load(ordering: .relaxed) }

    /// An upstream's response was taken.
    func noteAnswer() {
        if !self.wasAnswered.load(ordering: .relaxed) { self.wasAnswered.store(true, ordering: .relaxed) }
    }

    /// Takes over limits that concern the whole process.
    func set(_ limits: DownstreamLimits) {
        self.quota.connectionsMax = limits.connectionsMax
        var admission = ConnectionAdmission.Limits()
        admission.connectionsPerSecond = limits.connectionsPerSecondMax
        admission.handshakesPerSecond = limits.handshakesPerSecondMax
        admission.waitMax = limits.admissionTimeout
        self.quota.admission.set(admission)
        self.memory.set(budget: limits.memoryMax)
    }

    /// A turn that takes longer than this is no turn any more.
    private static let turnMax = Nanoseconds.seconds(5)

    /// What keeps the loops from turning, one text for each that does not; empty: all is well.
    func stuckLoops(at now: Instant) -> [String] {
        self.reports.enumerated().compactMap { index, report -> String? in
            guard let pulse = report.pulse else { return "worker \(index) has no loop" }
            let lag = pulse.lag(at: now)
            return lag > Self.turnMax ? "worker \(index) has been in one turn for \(lag.seconds) s" : nil
        }
    }

    /// A worker has no connections left; told once, or more often.
    func drained(_ worker: Int) { self.lifecycle.workerDrained(worker) }

    /// Logs and counts what a shard reports.
    func note(_ event: ShardEvent) {
        switch event {
        case .nack(let node, let key, let type, let version, let push, let detail):
            self.embedding.onNack?(
                Embedding.Nack(nodeID: node, key: key, type: type, version: version, detail: detail))
            self.logger.logOften(
                .warning, "NACK",
                [
                    ("node", node), ("key", key), ("type", type.label), ("version", version),
                    ("push", push.description), ("code", String(detail.code)), ("detail", detail.message),
                ])
        case .refused(let node, let peer, let message):
            self.logger.logOften(.warning, "stream refused", [("node", node), ("peer", peer), ("reason", message)])
        case .acknowledged: break
        case .converged(_, let after): self.metrics.convergenceSeconds.observe(after)
        case .ackTimeout(let node, let key, let type):
            self.metrics.operation.ackTimeouts(type: type.label).add()
            self.logger.logOften(
                .info, "no answer to a response within ack_timeout",
                [("node", node), ("key", key), ("type", type.label)])
        case .oversized(let key, let type, let bytes):
            self.logger.logOften(
                .warning,
                "a response is larger than max_response_size and cannot be split: clients need a higher receive limit",
                [("key", key), ("type", type.label), ("bytes", String(bytes))])
        }
    }
}

/// How many groups all workers have together, against their bound.
final class GroupCount: Sendable {
    private let count = Atomic<Int>(0)

    var value: Int { self.count.load(ordering: .relaxed) }

    /// Whether there was room for one more; then `release` must follow once.
    func reserve(max: Int) -> Bool {
        if self.count.add(1, ordering: .relaxed).newValue <= max { return true }
        self.count.subtract(1, ordering: .relaxed)
        return false
    }

    func release() { self.count.subtract(1, ordering: .relaxed) }
}

/// Where the process is in its life; read by the debug endpoint.
final class Lifecycle: Sendable {
    enum State: Int, Sendable {
        case starting
        case live
        case draining
    }

    private let value = Atomic<Int>(State.starting.rawValue)
    private let drainedWorkers = Atomic<UInt64>(0)

    var state: State { State(rawValue: self.value.load(ordering: .acquiring)) ?? .starting }

    func enter(_ state: State) { self.value.store(state.rawValue, ordering: .releasing) }

    func workerDrained(_ worker: Int) { self.drainedWorkers.bitwiseOr(1 << UInt64(worker), ordering: .relaxed) }

    func isDrained(workers: Int) -> Bool {
        self.drainedWorkers.load(ordering: .relaxed).nonzeroBitCount >= workers
    }
}
