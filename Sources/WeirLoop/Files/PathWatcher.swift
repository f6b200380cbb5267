import Glibc
package import WeirBase

/// Tells when a file, or anything in a folder and its subfolders, may have changed.
///
/// Notices edits in place, files renamed over, and the swapped `..data` link of a Kubernetes volume. inotify makes it
/// quick; a look every few seconds catches what inotify cannot see (network file systems, links through other folders,
/// a folder that did not exist). The path need not exist. Changes that follow each other closely are told once. The
/// file may be the same as before: compare contents.
///
/// Confined to its loop, which it blocks for the time of a few `stat` calls: meant for the main loop.
package final class PathWatcher {
    /// Quiet time after the last event before the change is told.
    package static let settleTime = Nanoseconds.milliseconds(50)
    /// A file that is written without pause is told after this time nevertheless.
    package static let settleMax = Nanoseconds.milliseconds(500)
    /// How often the path is looked at without any event.
    package static let lookInterval = Nanoseconds.seconds(5)

    private let path: String
    private let loop: Loop
    private let onChange: () -> Void
    private let notifier: FolderNotifier?
    private var settleTimer: TimerWatcher?
    private var lookTimer: TimerWatcher?
    private var firstEvent: Instant?
    private var isSurelyChanged = false
    private var lastSeen: PathFingerprint

    package init(loop: Loop, path: String, onChange: @escaping () -> Void) {
        self.loop = loop
        self.path = path
        self.onChange = onChange
        self.lastSeen = PathFingerprint(of: path)
        self.notifier = FolderNotifier(loop: loop)
        self.settleTimer = TimerWatcher(loop: loop) { [unowned self] in self.settled() }
        self.lookTimer = TimerWatcher(loop: loop) { [unowned self] in self.look() }
        self.notifier?.onEvents = { [unowned self] events in self.noticed(events) }
        self.notifier?.watch(self.lastSeen.foldersToWatch)
        self.lastSeen = PathFingerprint(of: path)  // again: it may have changed before the watch stood
        self.lookTimer?.start(after: Self.lookInterval, every: Self.lookInterval)
    }

    /// No more calls.
    package func cancel() {
        self.notifier?.cancel()
        self.settleTimer?.cancel()
        self.lookTimer?.cancel()
    }

    /// What happens in the path's own tree, or to its name, is a change even if `stat` shows none: clocks are coarse. Of its
    /// neighbours (a log, say, that tells of the last change) only `stat` can say whether they matter.
    private func noticed(_ events: Set<FolderNotifier.Event>) {
        let leaf = self.path.split(separator: "/").last.map(String.init) ?? ""
        let tree = self.path.hasSuffix("/") ? self.path : self.path + "/"
        if events.contains(where: { $0.name == leaf || ($0.folder + "/").hasPrefix(tree) || $0.folder.isEmpty }) {
            self.isSurelyChanged = true
        }
        let first = self.firstEvent ?? self.loop.now
        self.firstEvent = first
        self.settleTimer?.start(after: min(Self.settleTime, first + Self.settleMax - self.loop.now))
    }

    private func settled() {
        self.firstEvent = nil
        self.look()
    }

    private func look() {
        let seen = PathFingerprint(of: self.path)
        let isChanged = self.isSurelyChanged || seen != self.lastSeen
        self.isSurelyChanged = false
        self.lastSeen = seen
        self.notifier?.watch(seen.foldersToWatch)
        if isChanged { self.onChange() }
    }
}
