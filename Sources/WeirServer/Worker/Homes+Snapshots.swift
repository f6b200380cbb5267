import WeirBase
import WeirConfig
import WeirEngine
import WeirLoop
import WeirSnapshots

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
        self.take(snapshots.follow(source, worker: self.worker), from: snapshots, origin)
        return source
    }

    func unfollow(_ upstream: String, of home: HomeGroup) {
        guard let source = home.origins[upstream]?.snapshotSource.take() else { return }
        let isShared = self.groups.values.contains { $0.origins[upstream]?.snapshotSource == source }
        if !isShared { self.shared.snapshots[upstream]?.unfollow(source, worker: self.worker) }
    }

    /// Something else is there for what groups follow; `source` nil: for whatever they follow.
    func snapshotChanged(upstream: String, source: String?) {
        guard let snapshots = self.shared.snapshots[upstream] else { return }
        for home in self.groups.values.sorted(by: { $0.group.key < $1.group.key }) {
            guard let followed = home.origins[upstream]?.snapshotSource, source == nil || followed == source,
                let origin = home.group.origin(at: upstream)
            else { continue }
            self.take(snapshots.state(of: followed), from: snapshots, origin)
            self.carryOut(home)
        }
    }

    private func take(_ state: SnapshotOrigin.State, from snapshots: SnapshotOrigin, _ origin: OriginGroup) {
        if let snapshot = state.snapshot {
            self.shared.noteAnswer()
            origin.apply(snapshot, from: snapshots.kind, now: self.loop.now, wall: Loop.wallNow())
        } else {
            origin.forgetSnapshot(of: snapshots.kind, reason: state.trouble)
        }
    }

    /// Takes what could not be told because the worker's mailbox was full.
    func tickSnapshots() {
        for (upstream, snapshots) in self.shared.snapshots where snapshots.takeMissed(worker: self.worker) {
            self.snapshotChanged(upstream: upstream, source: nil)
        }
    }
}
