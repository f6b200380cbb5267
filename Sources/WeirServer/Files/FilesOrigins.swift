import WeirBase
import WeirEngine
import WeirFiles
import WeirHash
import WeirLoop
import WeirObserve
import WeirProtobuf
import WeirUpstream

/// All files origins of the process: watches paths, loads them on a thread of its own, and tells the workers whose
/// groups use them. A broken file is logged with its place, and the last good state stays.
final class FilesOrigins: Sendable {
    private enum Command: Sendable {
        case start([WorkerLink], Logger)
        case watch(path: String, upstream: String, worker: Int)
        case unwatch(path: String, upstream: String, worker: Int)
        case stop
    }

    /// Commands that may wait; each is about one group that comes or goes.
    private static let commandsMax = 65_536

    private let mailbox = Mailbox<Command>(capacity: FilesOrigins.commandsMax)
    private let thread: Locked<WorkerThread?> = Locked(nil)

    init(descriptors: DescriptorSet?, upstreams: UpstreamBoard) {
        let mailbox = self.mailbox
        let thread = WorkerThread(name: "weir-files", stackSize: 8 << 20) {
            FilesWatcher(descriptors: descriptors, upstreams: upstreams).run(mailbox) { watcher, command in
                switch command {
                case .start(let links, let logger): watcher.start(links, logger)
                case .watch(let path, let upstream, let worker): watcher.watch(path, upstream, worker)
                case .unwatch(let path, let upstream, let worker): watcher.unwatch(path, upstream, worker)
                case .stop: watcher.stop()
                }
            }
        }
        self.thread.withLock { $0 = thread }
    }

    func start(_ links: [WorkerLink], _ logger: Logger) { self.mailbox.post(.start(links, logger)) }

    /// From now on the worker is told of the path's state, first of the present one.
    func watch(path: String, upstream: String, for worker: Int) {
        self.mailbox.post(.watch(path: path, upstream: upstream, worker: worker))
    }

    func unwatch(path: String, upstream: String, for worker: Int) {
        self.mailbox.post(.unwatch(path: path, upstream: upstream, worker: worker))
    }

    func close() {
        self.mailbox.post(.stop)
        self.thread.withLock { $0 }?.join()
    }
}

/// The loading end, confined to its thread.
private final class FilesWatcher {
    private struct Source: Hashable {
        var path: String
        var upstream: String
    }

    private struct Watched {
        var watcher: PathWatcher
        var workers: Set<Int>
        var snapshot: FilesSnapshot
        var loadedAt: WallTime?
    }

    private let loop = Loop()
    private let descriptors: DescriptorSet?
    private var sources: [Source: Watched] = [:]
    private var links: [WorkerLink] = []
    private var logger: Logger?

    private struct Debt: Hashable {
        var source: Source
        var worker: Int
    }

    /// Workers that could not be told: at most one debt per source and worker.
    private var owed: Set<Debt> = []
    private var retry: TimerWatcher?

    private let upstreams: UpstreamBoard

    init(descriptors: DescriptorSet?, upstreams: UpstreamBoard) {
        self.descriptors = descriptors
        self.upstreams = upstreams
    }

    /// Shows the debug endpoint how the paths of an upstream stand.
    private func publish(_ upstream: String) {
        var entry = UpstreamBoard.Entry()
        for (source, watched) in self.sources.sorted(by: { $0.key.path < $1.key.path })
        where source.upstream == upstream {
            var status = ServerStatus(address: source.path)
            status.state = watched.snapshot.error.isEmpty ? .connected : .failed
            status.lastError = watched.snapshot.error
            status.connectedSince = watched.loadedAt
            entry.servers.append(status)
        }
        self.upstreams.update(upstream, part: -1, entry)
    }

    func run<Command: Sendable>(_ mailbox: Mailbox<Command>, handle: @escaping (FilesWatcher, Command) -> Void) {
        let inbox = Inbox(loop: self.loop, mailbox: mailbox) { [unowned self] commands in
            for command in commands { handle(self, command) }
        }
        self.loop.run()
        inbox.cancel()
    }

    func start(_ links: [WorkerLink], _ logger: Logger) {
        self.links = links
        self.logger = logger
    }

    func stop() { self.loop.stop() }

    func watch(_ path: String, _ upstream: String, _ worker: Int) {
        let source = Source(path: path, upstream: upstream)
        if self.sources[source] == nil {
            let watcher = PathWatcher(loop: self.loop, path: path) { [weak self] in self?.reload(source) }
            self.sources[source] = Watched(
                watcher: watcher, workers: [worker],
                snapshot: FilesSnapshot(
                    upstream: upstream, path: path, resources: nil, version: "", error: "not loaded yet"))
            self.load(source)
        }
        self.sources[source]?.workers.insert(worker)
        self.tell(worker, of: source)
    }

    /// A worker whose mailbox is full is told later, of what the files are by then.
    private func tell(_ worker: Int, of source: Source) {
        guard let watched = self.sources[source], watched.workers.contains(worker),
            self.links.indices.contains(worker)
        else { return }
        if self.links[worker].post(.files(watched.snapshot)) { return }
        self.owed.insert(Debt(source: source, worker: worker))
        let retry = self.retry ?? TimerWatcher(loop: self.loop) { [unowned self] in self.payDebts() }
        self.retry = retry
        retry.start(after: .milliseconds(500))
    }

    private func payDebts() {
        let owed = self.owed
        self.owed.removeAll()
        for debt in owed { self.tell(debt.worker, of: debt.source) }
    }

    func unwatch(_ path: String, _ upstream: String, _ worker: Int) {
        let source = Source(path: path, upstream: upstream)
        self.sources[source]?.workers.remove(worker)
        guard self.sources[source]?.workers.isEmpty == true else { return }
        self.sources.removeValue(forKey: source)?.watcher.cancel()
        self.publish(upstream)
    }

    private func reload(_ source: Source) {
        let before = self.sources[source]?.snapshot.version
        self.load(source)
        guard let watched = self.sources[source], watched.snapshot.version != before else { return }
        for worker in watched.workers.sorted() { self.tell(worker, of: source) }
    }

    /// All files are taken or none; what was taken before stays if they cannot be used.
    private func load(_ source: Source) {
        defer { self.publish(source.upstream) }
        guard let descriptors = self.descriptors else {
            let error = "the descriptor set (xds-descriptors.binpb beside the program) is missing: files cannot be read"
            self.logger?.log(.error, "files not loaded", [("path", source.path), ("error", error)])
            self.sources[source]?.snapshot.error = error
            return
        }
        switch loadResources(path: source.path, descriptors: descriptors) {
        case .failed(let diagnostics):
            for diagnostic in diagnostics {
                self.logger?.log(
                    .error, "a resource file cannot be used",
                    [("upstream", source.upstream), ("error", diagnostic.description)])
            }
            let isFirst = self.sources[source]?.snapshot.resources == nil
            self.logger?.log(
                .error, "files not loaded",
                [
                    ("path", source.path), ("errors", String(diagnostics.count)),
                    ("serves", isFirst ? "nothing" : "the last good state"),
                ])
            self.sources[source]?.snapshot.error = diagnostics.first?.description ?? "unknown error"
        case .loaded(let resources):
            let version = Self.version(resources)
            self.sources[source]?.snapshot = FilesSnapshot(
                upstream: source.upstream, path: source.path,
                resources: resources.map { FileResource(typeURL: $0.typeURL, name: $0.name, any: $0.any) },
                version: version, error: "")
            self.sources[source]?.loadedAt = Loop.wallNow()
            self.logger?.log(
                .info, "files loaded",
                [("path", source.path), ("resources", String(resources.count)), ("version", version)])
        }
    }

    /// Made from the content: the same files are the same version in every process.
    private static func version(_ resources: [LoadedResource]) -> String {
        var hash = ContentHash.zero
        for resource in resources {
            hash.add(
                ContentHash(of: resource.typeURL + " " + resource.name).followed(by: ContentHash(of: resource.any)))
        }
        return hash.shortHex
    }
}
