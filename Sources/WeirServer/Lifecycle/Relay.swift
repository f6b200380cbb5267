import Glibc
package import WeirBase
package import WeirConfig
import WeirEngine
import WeirLoop
import WeirObserve
import WeirProtobuf
import WeirSnapshots
import WeirTransport
import WeirXDS

/// How a run of the relay ended, for the exit status.
package enum RelayExit: Sendable {
    /// Drained and stopped as asked.
    case stopped
    /// The same, but for a thread that waits for the disk and was left behind: nothing may be torn down under it.
    case stoppedInPart
    /// It could not start or go on: why.
    case failed(String)
}

/// Runs the relay until a signal stops it. To be called on the main thread, once; blocks.
///
/// `reload` reads the configuration again on SIGHUP and returns nil, having said why, if it is not valid.
package func runRelay(
    _ configuration: RelayConfiguration, reload: @escaping () -> (RelayConfiguration?, [Diagnostic])
) -> RelayExit {
    Signals.ignorePipe()
    Signals.blockAll()
    let logger = Logger(
        level: LogLevel(configuration.log.level.rawValue) ?? .info,
        format: configuration.log.format == .json ? .json : .text)
    defer { logger.close() }
    let environment = processEnvironment()
    do throws(StartError) {
        let relay = try Relay(configuration, environment, logger: logger, reload: reload)
        try relay.start()
        return relay.waitForEnd() ? .stopped : .stoppedInPart
    } catch {
        logger.log(.error, "weir cannot start", [("error", error.description)])
        return .failed(error.description)
    }
}

/// The whole relay, seen from the main thread: starts the others, takes signals, and waits for the end.
final class Relay {
    private let configuration: RelayConfiguration
    private let logger: Logger
    private let reload: () -> (RelayConfiguration?, [Diagnostic])
    private let shared: RelayShared
    private let admin: AdminServer
    /// One for each upstream that is fed over HTTP.
    private let snapshotServers: [SnapshotServer]
    private let loop = Loop()
    private let manager: ServiceManager
    private var threads: [WorkerThread] = []
    private var signals: [SignalWatcher] = []
    private var timer: TimerWatcher?
    private var memoryTimer: TimerWatcher?
    private var activityTimer: TimerWatcher?
    private var drainUntil: Instant?
    /// From a program that the relay is a part of.
    private var requests: Inbox<RelayRequest>?

    /// How often the process's memory is looked at, if there is a bound on it.
    private static let memoryInterval = Nanoseconds.milliseconds(100)
    /// Bits of a worker mask bound the workers.
    private static let workersMax = 64

    init(
        _ configuration: RelayConfiguration, _ environment: [String: String], logger: Logger,
        embedding: Embedding = Embedding(), reload: @escaping () -> (RelayConfiguration?, [Diagnostic])
    ) throws(StartError) {
        let passed = PassedSockets(environment: environment)
        self.configuration = configuration
        self.logger = logger
        self.reload = reload
        let (descriptors, catalog) = Self.loadDescriptors(embedding.descriptors, logger)
        let workers = configuration.workers > 0 ? configuration.workers : sysconf(CInt(_SC_NPROCESSORS_ONLN))
        let upstreams = UpstreamBoard()
        self.shared = RelayShared(
            configuration: configuration, logger: logger, workers: max(1, min(workers, Self.workersMax)),
            files: FilesOrigins(descriptors: descriptors, upstreams: upstreams), upstreams: upstreams,
            unixListeners: try Self.openUnixListeners(configuration, passed), passed: passed,
            identifier: Self.identifier(),
            descriptors: descriptors, descriptorCatalog: catalog, embedding: embedding)
        self.admin = AdminServer(shared: self.shared, descriptors: descriptors)
        self.snapshotServers = self.shared.configuration.upstreams.compactMap { [shared = self.shared] upstream in
            guard case .http(let http) = upstream.origin else { return nil }
            return SnapshotServer(upstream.name, http, shared)
        }
        self.manager = ServiceManager(environment, loop: self.loop, shared: self.shared)
    }

    /// `weir@HOST`: which relay fed a proxy.
    private static func identifier() -> String {
        var name = [CChar](repeating: 0, count: 256)
        guard unsafe gethostname(&name, name.count - 1) == 0 else { return "weir" }
        return "weir@" + String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    private static func openUnixListeners(
        _ configuration: RelayConfiguration, _ passed: PassedSockets
    ) throws(StartError) -> [String: Descriptor] {
        var result: [String: Descriptor] = [:]
        for listener in configuration.downstream.listeners {
            guard case .unix(let path) = listener.address, passed.descriptors(of: .unix(path: path)).isEmpty else {
                continue
            }
            do throws(SystemError) {
                result[path] = Descriptor(try Socket.listen(on: .unix(path: path), reusePort: false, backlog: 1024))
            } catch {
                throw StartError("downstream.listeners: cannot listen on unix://\(path): \(error)")
            }
        }
        return result
    }

    // MARK: Descriptors

    /// The descriptors of all xDS messages, from where `DescriptorFile` looks for them.
    private static func loadDescriptors(
        _ file: String?, _ logger: Logger
    ) -> (DescriptorSet?, DescriptorCatalog?) {
        let paths = file.map { [$0] } ?? DescriptorFile.paths
        for path in paths {
            guard let bytes = ProcessReader.readBytes(path) else { continue }
            do throws(ProtobufError) {
                let descriptors = try DescriptorSet(bytes: bytes)
                // What libprotobuf has read, this reads too.
                return (descriptors, try? DescriptorCatalog(fileDescriptorSet: bytes))
            } catch {
                logger.log(.error, "descriptor set not usable", [("path", path), ("error", error.description)])
            }
        }
        logger.log(
            .warning,
            "no descriptor set: resources are shown as bytes, files origins cannot be read, and reflection has no files",
            [("searched", paths.joined(separator: " "))])
        return (nil, nil)
    }

    // MARK: Start

    func start(takesSignals: Bool = true) throws(StartError) {
        self.shared.metrics.operation.reloadedAt.set(Loop.wallNow().rawValue / 1_000_000_000)
        self.logger.log(
            .info, "weir starts",
            [
                ("version", weirVersion), ("config", self.configuration.path),
                ("workers", String(self.shared.links.count)),
            ])
        self.shared.set(self.configuration.downstream.limits)
        self.shared.files.start(self.shared.snapshots, self.logger)
        self.shared.store?.start(self.shared.links, self.shared.metrics, self.logger)
        self.shared.traces?.start(instance: self.shared.identifier)
        self.shared.journal.start(
            JournalLimits(self.configuration.admin.history), self.shared.metrics, traces: self.shared.traces)
        try self.startWorkers()
        for server in self.snapshotServers { try server.start() }
        if self.shared.embedding.hasAdmin { try self.startAdmin() }
        if takesSignals { self.watchSignals() }
        self.watchMemory()
        self.watchActivity()
        self.shared.lifecycle.enter(.live)
        self.manager.ready()
        self.notePassedSockets()
        for listener in self.configuration.downstream.listeners {
            self.logger.log(
                .info, "listening",
                [("address", listener.address.description), ("tls", listener.tls == nil ? "no" : "yes")])
        }
        if self.shared.embedding.hasAdmin {
            self.logger.log(.info, "debug endpoint", [("address", self.configuration.admin.address.description)])
        }
    }

    /// Without it the workers stop again, so that a program whose server could not start is as it was.
    private func startAdmin() throws(StartError) {
        do throws(StartError) {
            try self.admin.start()
        } catch {
            self.stopThreads()
            throw error
        }
    }

    /// What the upstreams have that are fed from within the process, by name.
    var snapshots: [String: SnapshotOrigin] { self.shared.snapshots }

    /// Takes requests of other threads from now on.
    func serve(_ mailbox: Mailbox<RelayRequest>) {
        self.requests = Inbox(loop: self.loop, mailbox: mailbox) { [unowned self] requests in
            for case .drain(let timeout) in requests {
                self.shared.drainTimeout.withLock { $0 = timeout }
                self.beginDrain("request")
            }
        }
    }

    private func notePassedSockets() {
        let passed = self.shared.passed
        for problem in passed.unusable {
            self.logger.log(.warning, "a socket of the service manager cannot be used", [("error", problem)])
        }
        let addresses = self.configuration.downstream.listeners.map(\.address.socketAddress)
        for socket in passed.sockets {
            let isUsed = addresses.contains(socket.address)
            self.logger.log(
                isUsed ? .info : .warning,
                isUsed
                    ? "listening on a socket of the service manager"
                    : "a socket of the service manager has no listener in the configuration",
                [("address", socket.address.description), ("name", socket.name)])
        }
    }

    private func startWorkers() throws(StartError) {
        let outcomes = Mailbox<String>(capacity: self.shared.links.count)
        for link in self.shared.links {
            let shared = self.shared
            self.threads.append(
                WorkerThread(name: "weir-worker-\(link.index)", stackSize: 8 << 20) {
                    let worker = Worker(index: link.index, shared: shared)
                    worker.run { error in outcomes.post(error?.description ?? "") }
                })
        }
        let failures = self.wait(for: self.shared.links.count, of: outcomes).filter { !$0.isEmpty }
        guard let failure = failures.first else { return }
        self.stopThreads()
        throw StartError(failure)
    }

    /// Turns the main loop until so many messages have come.
    private func wait(for count: Int, of mailbox: Mailbox<String>) -> [String] {
        var received: [String] = []
        let loop = self.loop
        let inbox = Inbox(loop: loop, mailbox: mailbox) { messages in
            received += messages
            if received.count >= count { loop.stop() }
        }
        loop.run()
        inbox.cancel()
        return received
    }

    // MARK: Signals and end

    private func watchSignals() {
        for number in [SIGTERM, SIGINT] {
            self.signals.append(
                SignalWatcher(loop: self.loop, signal: number) { [unowned self] in
                    self.beginDrain(number == SIGTERM ? "SIGTERM" : "SIGINT")
                })
        }
        self.signals.append(
            SignalWatcher(loop: self.loop, signal: SIGHUP) { [unowned self] in self.reloadConfiguration() })
    }

    private func watchMemory() {
        let timer = TimerWatcher(loop: self.loop) { [unowned self] in self.lookAtMemory() }
        self.memoryTimer = timer
        timer.start(after: Self.memoryInterval, every: Self.memoryInterval)
    }

    /// Every second, for the last minutes of `/activity`.
    private func watchActivity() {
        let timer = TimerWatcher(loop: self.loop) { [unowned self] in
            let totals = self.shared.metrics.activity
            self.shared.activity.withLock { $0.note(totals, at: Loop.monotonicNow()) }
        }
        self.activityTimer = timer
        timer.start(after: .zero, every: .seconds(1))
    }

    private func lookAtMemory() {
        guard let (pressure, used) = self.shared.memory.look() else { return }
        self.shared.quota.admission.sheds = pressure >= .refusingConnections
        self.shared.metrics.memoryPressure.set(Int64(pressure.rawValue))
        self.logger.log(
            pressure == .none ? .info : .warning, "memory pressure",
            [("state", pressure.name), ("resident_bytes", String(used))])
    }

    /// Turns until drained. False if a thread had to be left behind.
    @discardableResult
    func waitForEnd() -> Bool {
        self.loop.run()
        let isWhole = self.stopThreads()
        for path in self.shared.unixListeners.keys { Socket.unlink(.unix(path: path)) }
        self.logger.log(.info, "weir stops")
        return isWhole
    }

    private func beginDrain(_ cause: String) {
        guard self.drainUntil == nil else {
            // Asked twice: whoever asks has no patience left.
            return self.loop.stop()
        }
        let timeout = self.shared.drainTimeout.withLock { $0 }
        self.logger.log(
            .info, "draining",
            [("signal", cause), ("timeout", "\(timeout.seconds)s")])
        self.shared.lifecycle.enter(.draining)
        self.manager.stopping(within: timeout + .seconds(10))
        for link in self.shared.links { link.postPatiently(.drain(timeout)) }
        // Ended streams have some seconds to take their trailers.
        self.drainUntil = Loop.monotonicNow() + timeout + .seconds(6)
        let timer = TimerWatcher(loop: self.loop) { [unowned self] in self.checkDrain() }
        self.timer = timer
        timer.start(after: .milliseconds(50), every: .milliseconds(50))
    }

    private func checkDrain() {
        let isOver = self.drainUntil.map { Loop.monotonicNow() >= $0 } ?? false
        if isOver || self.shared.lifecycle.isDrained(workers: self.shared.links.count) { self.loop.stop() }
    }

    /// False if one of them did not end in time.
    @discardableResult
    private func stopThreads() -> Bool {
        self.timer?.cancel()
        self.memoryTimer?.cancel()
        self.activityTimer?.cancel()
        self.manager.cancel()
        for signal in self.signals { signal.cancel() }
        self.requests?.cancel()
        self.shared.journal.close()
        self.admin.stop()
        for server in self.snapshotServers { server.stop() }
        for link in self.shared.links { link.postPatiently(.stop) }
        for thread in self.threads { thread.join() }
        self.shared.large.stop()
        self.shared.files.close()
        let isStoreClosed = self.shared.store?.close(self.logger) ?? true
        self.shared.traces?.stop()
        return isStoreClosed
    }

    // MARK: Reload

    private func reloadConfiguration() {
        self.manager.reloading()
        defer { self.manager.ready() }
        let (configuration, diagnostics) = self.reload()
        for diagnostic in diagnostics {
            let isError = diagnostic.severity == .error
            self.logger.log(
                isError ? .error : .warning,
                isError ? "the configuration cannot be used" : "the configuration has a flaw",
                [("error", diagnostic.description)])
        }
        guard let configuration = configuration else {
            self.shared.metrics.operation.reloads(succeeded: false).add()
            return self.logger.log(.error, "configuration not reloaded: the old one stays")
        }
        self.logger.level = LogLevel(configuration.log.level.rawValue) ?? .info
        self.shared.rules.withLock { $0 = configuration.aggregation }
        self.shared.identity.withLock { $0 = configuration.identity }
        self.admin.reload(configuration.admin)
        for server in self.snapshotServers { server.reload(configuration) }
        let limits = JournalLimits(configuration.admin.history)
        self.shared.journal.ask { $0.pushes.set(limits) }
        self.shared.drainTimeout.withLock { $0 = configuration.downstream.drainTimeout }
        self.shared.set(configuration.downstream.limits)
        self.shared.metricsKeys.withLock { $0 = configuration.admin.metricsKeys }
        for link in self.shared.links where !link.postPatiently(.perform { $0.reload(configuration) }) {
            self.logger.log(.error, "a worker does not turn and was not given the new configuration", [])
        }
        let kept = self.needingRestart(configuration)
        if !kept.isEmpty {
            self.logger.log(
                .warning, "some changes take effect only after a restart", [("fields", kept.joined(separator: " "))])
        }
        self.shared.metrics.operation.reloads(succeeded: true).add()
        self.shared.metrics.operation.reloadedAt.set(Loop.wallNow().rawValue / 1_000_000_000)
        self.logger.log(.info, "configuration reloaded", [("config", configuration.path)])
    }

    private func needingRestart(_ new: RelayConfiguration) -> [String] {
        let old = self.configuration
        var fields: [String] = []
        if new.downstream.listeners != old.downstream.listeners { fields.append("downstream.listeners") }
        fields += Self.upstreamsNeedingRestart(old.upstreams, new.upstreams)
        if new.cache != old.cache { fields.append("cache") }
        if new.admin.address != old.admin.address { fields.append("admin.address") }
        if (new.admin.tls == nil) != (old.admin.tls == nil) { fields.append("admin.tls") }
        if new.workers != old.workers { fields.append("workers") }
        if new.log.format != old.log.format { fields.append("log.format") }
        if new.tracing != old.tracing { fields.append("tracing") }
        return fields
    }

    /// Of an upstream of servers all can change while it runs but the protocol and whether it is there.
    private static func upstreamsNeedingRestart(
        _ old: [UpstreamConfiguration], _ new: [UpstreamConfiguration]
    ) -> [String] {
        var names: [String] = old.map(\.name).filter { name in !new.contains { $0.name == name } }
        for upstream in new where upstream.origin != .program {
            switch (old.first { $0.name == upstream.name }?.origin, upstream.origin) {
            case (.grpc(let before)?, .grpc(let now)) where before.variant == now.variant: break
            case (.files(let before)?, .files(let now)) where before == now: break
            case (.http(let before)?, .http(let now)) where before == now: break
            default: names.append(upstream.name)
            }
        }
        return names.map { "upstreams.\($0)" }
    }
}
