import WeirBase
import WeirConfig
import WeirEngine
import WeirLoop
import WeirObserve
import WeirStore
import WeirTLS
import WeirXDS

/// The working end of the store, confined to its thread.
///
/// What changed is gathered by name, so that only the newest of each waits, and written in one transaction at most every
/// 100 ms. A transaction is on the disk when it is done: a crash loses at most what waited.
final class StoreWriter {
    private let loop = Loop()
    private let desk: StoreDesk
    private let links: [WorkerLink]
    private let metrics: RelayMetrics
    private let logger: Logger
    private var store: Store?
    private var pending = PendingChanges()
    /// Groups of which changes were lost: what they have is written whole when that is possible again.
    private var lost: Set<StoreGroup> = []
    private var opened: Set<StoreGroup> = []
    private var used: Set<StoreGroup> = []
    private var lastCommit = Instant(rawValue: 0)
    private var isCommitDue = false
    private var commitTimer: TimerWatcher?
    private var sweepTimer: TimerWatcher?
    private var reopenTimer: TimerWatcher?

    /// Between two transactions.
    private static let interval = Nanoseconds.milliseconds(100)
    /// After the disk refused.
    private static let retry = Nanoseconds.seconds(5)
    /// Between two looks for what is too old.
    private static let sweep = Nanoseconds.seconds(3_600)
    /// Changes that may wait while the disk refuses.
    private static let pendingMax = 1_000_000

    init(desk: StoreDesk, links: [WorkerLink], metrics: RelayMetrics, logger: Logger) {
        self.desk = desk
        self.links = links
        self.metrics = metrics
        self.logger = logger
    }

    func run() {
        let inbox = Inbox(loop: self.loop, mailbox: self.desk.mailbox) { [unowned self] in self.receive($0) }
        let sweep = TimerWatcher(loop: self.loop) { [unowned self] in self.removeOld() }
        self.sweepTimer = sweep
        sweep.start(after: Self.sweep, every: Self.sweep)
        self.loop.run()
        for timer in [self.commitTimer, self.sweepTimer, self.reopenTimer] { timer?.cancel() }
        inbox.cancel()
        self.store?.close()
        self.store = nil
    }

    // MARK: Opening

    func open() {
        let configuration = self.desk.configuration
        do throws(StoreError) {
            var options = StoreOptions()
            options.bytesMax = configuration.bytesMax
            options.program = "weir \(weirVersion)"
            options.cipher = try Self.cipher(configuration)
            let opening = try Store.open(
                folder: configuration.path, options: options, now: Loop.wallNow(),
                check: { path throws(StoreError) in try StoreCheck.run(path) })
            self.took(opening)
        } catch {
            self.failed(error, "the store cannot be opened: nothing is kept on disk")
            let timer = self.reopenTimer ?? TimerWatcher(loop: self.loop) { [unowned self] in self.openAgain() }
            self.reopenTimer = timer
            timer.start(after: Self.retry)
        }
    }

    private static func cipher(_ configuration: StoreConfiguration) throws(StoreError) -> (any StoreCipher)? {
        guard let path = configuration.encryptionKey else { return nil }
        guard let file = try? readFile(path, bytesMax: 4096), let key = encryptionKey(in: file),
            let cipher = RecordCipher(key: key)
        else { throw StoreError(.key, "\(path) holds no key of 32 bytes") }
        return cipher
    }

    private func took(_ opening: StoreOpening) {
        self.store = opening.store
        self.opened.formUnion(
            opening.store.groups.filter { self.desk.snapshotUpstreams.contains($0.upstream) })
        self.metrics.storeBytes.set(Int64(opening.store.bytes))
        if let (path, reason) = opening.setAside {
            self.metrics.storeErrors(reason.kind.rawValue).add(1)
            self.logger.log(
                .error, "the store's file could not be used and was set aside: the store begins empty",
                [("set_aside", path), ("reason", reason.description)])
        }
        if let reason = opening.isReadOnlyBecause {
            self.failed(reason, "the store cannot be written: what it has is served, and nothing new is kept")
        }
        self.logger.log(
            .info, "store opened",
            [
                ("path", opening.store.path), ("groups", String(opening.store.groups.count)),
                ("bytes", String(opening.store.bytes)),
            ])
        self.removeOld()
    }

    private func openAgain() {
        guard self.store == nil else { return }
        self.open()
        guard self.store != nil else { return }
        self.works()
        for link in self.links { link.post(.perform { $0.homes.offerEverythingToStore(nil) }) }
    }

    // MARK: Commands

    private func receive(_ commands: [StoreDesk.Command]) {
        for command in commands {
            switch command {
            case .changed(let entries): for entry in entries { self.note(entry) }
            case .opened(let group, let worker, let ticket): self.restore(group, worker, ticket)
            case .closed(let group):
                self.opened.remove(group)
                self.used.insert(group)
            case .readSnapshots(let upstream, let reply): reply(self.readSnapshots(upstream))
            case .keepSnapshot(let group, let snapshot, let old, let reply):
                reply(self.keep(snapshot, old: old, of: group))
            case .stop: self.stop()
            }
        }
        self.bound()
        self.desk.state.withLock { $0.waitingSince = self.pending.since }
        self.scheduleCommit(after: Self.interval)
    }

    private func note(_ entry: StoreEntry) {
        guard let store = self.store, !store.isReadOnly else { return }
        if self.lost.contains(entry.group) {
            // Some of a group is worth nothing without what was lost before; all of it is.
            guard entry.updates.contains(where: \.isEverything) else { return }
            self.lost.remove(entry.group)
        }
        self.pending.add(entry, now: Loop.monotonicNow())
    }

    /// The disk has refused for so long that what waits is too much.
    private func bound() {
        guard self.pending.count > Self.pendingMax else { return }
        self.lost.formUnion(self.pending.groups)
        self.pending = PendingChanges()
        self.metrics.storeErrors("lost").add(1)
        self.logger.log(
            .error, "too many changes wait for the store: they are dropped, and the groups written whole later",
            [("groups", String(self.lost.count)), ("changes_max", String(Self.pendingMax))])
    }

    private func stop() {
        self.used.formUnion(self.opened)
        self.commit()
        self.loop.stop()
    }

    // MARK: Restoring

    private func restore(_ group: StoreGroup, _ worker: Int, _ ticket: Int) {
        self.opened.insert(group)
        // What was known a moment ago comes before what is on the disk.
        if self.pending.contains(group) { self.commit() }
        var types: [RestoredType] = []
        if let store = self.store, !self.pending.contains(group), !self.lost.contains(group) {
            types = self.read(group, store)
        }
        guard self.links.indices.contains(worker) else { return }
        self.links[worker].post(.restored(key: group.key, ticket: ticket, types))
    }

    private func read(_ group: StoreGroup, _ store: Store) -> [RestoredType] {
        do throws(StoreError) {
            let (types, unusable, why) = try store.read(group)
            if unusable > 0, let why = why {
                self.metrics.storeErrors(why.kind.rawValue).add(UInt64(unusable))
                self.logger.log(
                    .error, "stored records cannot be used",
                    [("key", group.key), ("records", String(unusable)), ("reason", why.description)])
            }
            let now = Loop.monotonicNow()
            let wall = Loop.wallNow()
            return types.filter { self.desk.configuration.secrets || $0.typeURL != XDSType.sds.typeURL }
                .map { StoreMapping.restored($0, now: now, wall: wall) }
        } catch {
            self.failed(error, "the store cannot be read")
            return []
        }
    }

    // MARK: Snapshots

    private func readSnapshots(_ upstream: String) -> [String: Snapshot]? {
        guard let store = self.store else { return nil }
        var snapshots: [String: Snapshot] = [:]
        for group in store.groups where group.upstream == upstream {
            do throws(StoreError) {
                let (types, unusable, why) = try store.read(group)
                // Some of it would take the rest from clients.
                if let why, unusable > 0 { throw why }
                let wall = Loop.wallNow()
                snapshots[group.key] = StoreMapping.snapshot(types, now: Loop.monotonicNow(), wall: wall)
                self.opened.insert(group)
            } catch {
                self.failed(error, "a stored snapshot cannot be used: it is left out, and must be put again")
            }
        }
        return snapshots
    }

    /// Unlike what a control plane says, this is nowhere else: it is written at once, and never gives way to other groups.
    private func keep(_ snapshot: Snapshot?, old: Snapshot?, of group: StoreGroup) -> Bool {
        guard let store = self.store, !store.isReadOnly else { return false }
        let changes = StoreMapping.changes(
            to: snapshot, from: old, of: group, storedTypes: store.typeURLs(of: group),
            keepsSecrets: self.desk.configuration.secrets, now: Loop.monotonicNow(), wall: Loop.wallNow())
        if snapshot == nil { self.opened.remove(group) } else { self.opened.insert(group) }
        do throws(StoreError) {
            if !changes.isEmpty {
                try store.write(changes, now: Loop.wallNow(), keeping: self.opened)
                self.metrics.storeWrites.add(1)
            }
            self.works()
            self.metrics.storeBytes.set(Int64(store.bytes))
            return true
        } catch {
            self.failed(error, "a snapshot could not be stored: it is served, and tried again")
            return false
        }
    }

    // MARK: Writing

    private func scheduleCommit(after delay: Nanoseconds) {
        guard !self.pending.isEmpty || !self.used.isEmpty, !self.isCommitDue else { return }
        self.isCommitDue = true
        let timer = self.commitTimer ?? TimerWatcher(loop: self.loop) { [unowned self] in self.commit() }
        self.commitTimer = timer
        timer.start(after: max(.milliseconds(1), self.lastCommit + delay - Loop.monotonicNow()))
    }

    private func commit() {
        self.isCommitDue = false
        self.lastCommit = Loop.monotonicNow()
        guard let store = self.store, !store.isReadOnly else {
            self.pending = PendingChanges()
            self.used = []
            return
        }
        do throws(StoreError) {
            let wall = Loop.wallNow()
            try self.writePending(store, wall)
            if !self.used.isEmpty { try store.touch(self.used, now: wall) }
            self.used = []
            self.works()
        } catch {
            self.failed(error, "the store could not be written; what changed waits, and is tried again")
            self.scheduleCommit(after: Self.retry)
        }
        self.metrics.storeBytes.set(Int64(store.bytes))
        self.desk.state.withLock { $0.waitingSince = self.pending.since }
    }

    private func writePending(_ store: Store, _ wall: WallTime) throws(StoreError) {
        guard !self.pending.isEmpty else { return }
        do throws(StoreError) {
            let changes = self.pending.changes(now: self.lastCommit, wall: wall)
            try store.write(changes, now: wall, keeping: self.opened)
            self.metrics.storeWrites.add(1)
            self.pending = PendingChanges()
        } catch {
            guard error.kind == .full else { throw error }
            // One group that is too large must not keep the others out.
            var failure: StoreError?
            for group in self.pending.groups {
                do throws(StoreError) {
                    let changes = self.pending.changes(of: group, now: self.lastCommit, wall: wall)
                    try store.write(changes, now: wall, keeping: self.opened)
                    self.metrics.storeWrites.add(1)
                    self.pending.remove(group)
                } catch {
                    failure = error
                    guard error.kind == .full else { break }
                }
            }
            if let failure = failure { throw failure }
        }
    }

    private func removeOld() {
        guard let store = self.store, !store.isReadOnly else { return }
        let now = Loop.wallNow()
        do throws(StoreError) {
            try store.touch(self.opened, now: now)
            let age = self.desk.configuration.ageMax
            guard age > .zero else { return }
            let removed = try store.removeUnused(
                since: WallTime(rawValue: now.rawValue - age.rawValue), except: self.opened)
            if removed > 0 {
                self.logger.log(
                    .info, "groups that nobody used were removed from the store", [("groups", String(removed))])
            }
        } catch {
            self.failed(error, "the store could not be written")
        }
    }

    // MARK: Trouble

    private func failed(_ error: StoreError, _ what: String) {
        self.metrics.storeErrors(error.kind.rawValue).add(1)
        let trouble = "\(error.kind.rawValue): \(error.description)"
        let isNews = self.desk.state.withLock { state -> Bool in
            defer { state.trouble = trouble }
            return state.trouble != trouble
        }
        if isNews {
            self.logger.log(
                .error, what, [("path", self.desk.configuration.path), ("error", error.description)])
        }
    }

    private func works() {
        let before = self.desk.state.withLock { state -> String? in
            defer { state.trouble = nil }
            return state.trouble
        }
        if before != nil { self.logger.log(.info, "the store works again", []) }
        for group in self.lost {
            let home = Placement.home(of: group.key, workers: self.links.count)
            self.links[home].post(.perform { $0.homes.offerEverythingToStore(group.key) })
        }
    }
}
