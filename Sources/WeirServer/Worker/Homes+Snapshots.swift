import WeirBase
import WeirConfig
import WeirEngine
import WeirLoop
import WeirObserve
import WeirSnapshots
import WeirXDS

/// Groups whose resources come from within the process.
extension Homes {
    /// Has a group follow its snapshot, if its upstream has such: returns what it follows.
    func follow(_ upstream: String, _ origin: OriginGroup) -> String? {
        guard let snapshots = self.shared.snapshots[upstream] else { return nil }
        var source = origin.key
        if case .files(let files)? = self.shared.configuration.upstream(named: upstream)?.origin {
            guard let path = files.path(forKey: origin.key) else {
                origin.originUnavailable(
                    server: "files", error: "key \"\(origin.key)\" does not fit into the path \(files.pathTemplate)")
                return nil
            }
            source = path
        }
        let state = snapshots.follow(source, worker: self.worker)
        if state.snapshot != nil { self.shared.noteAnswer() }
        Self.take(state, of: snapshots.kind, origin, self.loop.now, Loop.wallNow())
        return source
    }

    func unfollow(_ upstream: String, of home: HomeGroup) {
        guard let source = home.origins[upstream]?.snapshotSource.take() else { return }
        let isShared = self.groups.values.contains { $0.origins[upstream]?.snapshotSource == source }
        if !isShared { self.shared.snapshots[upstream]?.unfollow(source, worker: self.worker) }
    }

    /// Something else is there for what groups follow; `source` nil: for whatever they follow.
    func snapshotChanged(upstream: String, source: String?) {
        for key in self.groups.keys.sorted() { self.snapshotChanged(upstream: upstream, source: source, key) }
    }

    private func snapshotChanged(upstream: String, source: String?, _ key: String) {
        guard let snapshots = self.shared.snapshots[upstream], let home = self.groups[key],
            let followed = home.origins[upstream]?.snapshotSource, source == nil || followed == source
        else { return }
        if self.waits(key, { $0.snapshotChanged(upstream: upstream, source: source, key) }) { return }
        guard let origin = home.group.origin(at: upstream) else { return }
        let state = snapshots.state(of: followed)
        if state.snapshot != nil { self.shared.noteAnswer() }
        let (kind, now, wall) = (snapshots.kind, self.loop.now, Loop.wallNow())
        self.work(on: home, weight: state.snapshot?.resourceCount ?? 0) {
            Self.take(state, of: kind, origin, now, wall)
        }
    }

    private static func take(
        _ state: SnapshotOrigin.State, of kind: String, _ origin: OriginGroup, _ now: Instant, _ wall: WallTime
    ) {
        if let snapshot = state.snapshot {
            origin.apply(snapshot, from: kind, now: now, wall: wall)
        } else {
            origin.forgetSnapshot(of: kind, reason: state.trouble)
        }
    }

    /// Counts a push that no response of a control plane made; those are counted as they come.
    func countPush(_ news: PushNews, _ upstream: String) {
        guard self.shared.snapshots[upstream] != nil, case .new(let report) = news, report.isUpstreamState else {
            return
        }
        let outcome: RelayMetrics.PushOutcome
        switch report.outcome {
        case .sent: outcome = .sent
        case .held(let reason):
            guard let held = Self.outcome(.held(reason)) else { return }
            outcome = held
        default: return
        }
        self.shared.metrics.pushes(type: report.type.label, outcome: outcome).add(1)
    }

    /// Takes what could not be told because the worker's mailbox was full.
    func tickSnapshots() {
        for (upstream, snapshots) in self.shared.snapshots where snapshots.takeMissed(worker: self.worker) {
            self.snapshotChanged(upstream: upstream, source: nil)
        }
    }
}
