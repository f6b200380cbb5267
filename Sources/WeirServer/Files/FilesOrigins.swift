import WeirBase
import WeirEngine
import WeirFiles
import WeirHash
import WeirLoop
import WeirObserve
import WeirProtobuf
import WeirSnapshots
import WeirUpstream

/// All files origins of the process: watches paths, loads them on a thread of its own, and sets what they hold in the
/// upstream's `SnapshotOrigin`, by path. A broken file is logged with its place, and the last good state stays.
final class FilesOrigins: Sendable {
    private enum Command: Sendable {
        case start([String: SnapshotOrigin], Logger)
        case watch(path: String, upstream: String)
        case unwatch(path: String, upstream: String)
        case stop
    }

    /// Commands that may wait; each is about one path that comes or goes.
    private static let commandsMax = 65_536

    private let mailbox = Mailbox<Command>(capacity: FilesOrigins.commandsMax)
    private let thread: Locked<WorkerThread?> = Locked(nil)

    init(descriptors: DescriptorSet?, upstreams: UpstreamBoard) {
        let mailbox = self.mailbox
        let thread = WorkerThread(name: "weir-files", stackSize: 8 << 20) {
            FilesWatcher(descriptors: descriptors, upstreams: upstreams).run(mailbox) { watcher, command in
                switch command {
                case .start(let origins, let logger): watcher.start(origins, logger)
                case .watch(let path, let upstream): watcher.watch(path, upstream)
                case .unwatch(let path, let upstream): watcher.unwatch(path, upstream)
                case .stop: watcher.stop()
                }
            }
        }
        self.thread.withLock { $0 = thread }
    }

    func start(_ origins: [String: SnapshotOrigin], _ logger: Logger) { self.mailbox.post(.start(origins, logger)) }

    /// Somebody wants what a path holds, or nobody does any more.
    func demand(path: String, upstream: String, _ isWanted: Bool) {
        self.mailbox.post(
            isWanted ? .watch(path: path, upstream: upstream) : .unwatch(path: path, upstream: upstream))
    }

    func close() {
        self.mailbox.close(after: .stop)
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
        /// The digest of what was loaded; nil: nothing could be so far.
        var loaded: ContentHash?
        var loadedAt: WallTime?
        var error = ""
    }

    private let loop = Loop()
    private let descriptors: DescriptorSet?
    private var sources: [Source: Watched] = [:]
    private var origins: [String: SnapshotOrigin] = [:]
    private var logger: Logger?
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
            status.state = watched.error.isEmpty ? .connected : .failed
            status.lastError = watched.error
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

    func start(_ origins: [String: SnapshotOrigin], _ logger: Logger) {
        self.origins = origins
        self.logger = logger
    }

    func stop() { self.loop.stop() }

    func watch(_ path: String, _ upstream: String) {
        let source = Source(path: path, upstream: upstream)
        guard self.sources[source] == nil else { return }
        let watcher = PathWatcher(loop: self.loop, path: path) { [weak self] in self?.load(source) }
        self.sources[source] = Watched(watcher: watcher)
        self.load(source)
    }

    func unwatch(_ path: String, _ upstream: String) {
        let source = Source(path: path, upstream: upstream)
        self.sources.removeValue(forKey: source)?.watcher.cancel()
        self.origins[upstream]?.remove(path)
        self.publish(upstream)
    }

    /// All files are taken or none; what was taken before stays if they cannot be used.
    private func load(_ source: Source) {
        defer { self.publish(source.upstream) }
        guard let descriptors = self.descriptors else {
            let error = "the descriptor set (xds-descriptors.binpb beside the program) is missing: files cannot be read"
            self.logger?.log(.error, "files not loaded", [("path", source.path), ("error", error)])
            return self.note(error, source)
        }
        switch loadResources(path: source.path, descriptors: descriptors) {
        case .failed(let diagnostics): self.failed(diagnostics, source)
        case .loaded(let resources): self.loaded(resources, source)
        }
    }

    private func failed(_ diagnostics: [Diagnostic], _ source: Source) {
        for diagnostic in diagnostics {
            self.logger?.log(
                .error, "a resource file cannot be used",
                [("upstream", source.upstream), ("error", diagnostic.description)])
        }
        let isFirst = self.sources[source]?.loaded == nil
        self.logger?.log(
            .error, "files not loaded",
            [
                ("path", source.path), ("errors", String(diagnostics.count)),
                ("serves", isFirst ? "nothing" : "the last good state"),
            ])
        self.note(diagnostics.first?.description ?? "unknown error", source)
    }

    private func note(_ error: String, _ source: Source) {
        self.sources[source]?.error = error
        self.origins[source.upstream]?.fail(source.path, error)
    }

    private func loaded(_ resources: [LoadedResource], _ source: Source) {
        let snapshot = Snapshot(
            resources.map { SnapshotResource(typeURL: $0.typeURL, name: $0.name, any: $0.any) })
        let now = Loop.wallNow()
        let hadError = self.sources[source]?.error.isEmpty == false
        if self.sources[source]?.loaded != snapshot.digest || hadError {
            self.origins[source.upstream]?.set(snapshot, for: source.path, at: now)
        }
        self.sources[source]?.loaded = snapshot.digest
        self.sources[source]?.loadedAt = now
        self.sources[source]?.error = ""
        self.logger?.log(
            .info, "files loaded",
            [("path", source.path), ("resources", String(resources.count)), ("version", snapshot.version)])
    }
}
