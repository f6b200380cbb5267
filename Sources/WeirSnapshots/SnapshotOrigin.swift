package import WeirBase
package import WeirEngine
import WeirLoop

/// An upstream that is fed from within the process: it holds a snapshot for each key, and hands them to the workers whose
/// groups have the key. What resource files hold, what is put over HTTP, and what a program makes by itself goes this way.
///
/// Each change counts at once and as a whole. Setting a snapshot that says what the last one said sends nothing. All
/// calls may come from any thread and none blocks; two changes of one key reach the workers in the order in which they
/// were made here, and of several that come faster than a worker turns it takes the last one.
///
///     origin.set(Snapshot(resources, version: "7"), for: "web")
package final class SnapshotOrigin: Sendable {
    /// How it stands with one key.
    package struct State: Sendable {
        /// Nil: nothing was set, or it was removed.
        package var snapshot: Snapshot?
        /// Why there is no snapshot, or why a newer one could not be taken; empty: all is well. For people.
        package var trouble = ""
        /// When the snapshot was set.
        package var updated: WallTime?
    }

    private struct Entry {
        var state: State
        /// A bit for each worker that has groups of the key.
        var followers: UInt64 = 0
    }

    private struct Shelf {
        var entries: [String: Entry] = [:]
        /// Workers that could not be told of something.
        var missed: UInt64 = 0
    }

    /// What people read of where snapshots come from: `files`, `http`.
    package let kind: String
    /// Tells a worker that a key's state is another; false if it could not be told.
    private let tell: @Sendable (_ worker: Int, _ key: String) -> Bool
    private let demand: @Sendable (_ key: String, _ isWanted: Bool) -> Void
    /// Why a key has no snapshot that nothing was ever said of.
    private let missing: @Sendable (_ key: String) -> String
    private let shelf = Locked(Shelf())

    /// - Parameters:
    ///   - tell: posts to a worker that a key's state is another; false if its mailbox is full. As `demand`, called under
    ///     a lock: it must post, and do nothing else.
    ///   - demand: hears when the first worker follows a key, and when the last one does not any more.
    ///   - missing: why a key has no snapshot, as clients and people are told.
    package init(
        kind: String, tell: @escaping @Sendable (_ worker: Int, _ key: String) -> Bool,
        demand: @escaping @Sendable (_ key: String, _ isWanted: Bool) -> Void = { _, _ in },
        missing: @escaping @Sendable (_ key: String) -> String = { "nothing was set for key \"\($0)\" so far" }
    ) {
        self.kind = kind
        self.tell = tell
        self.demand = demand
        self.missing = missing
    }

    // MARK: Who feeds

    /// Replaces everything that the key has.
    package func set(_ snapshot: Snapshot, for key: String, at wall: WallTime? = nil) {
        self.change(key, at: wall) { _ in snapshot }
    }

    /// Replaces one type; the others stay. Where there was nothing, nothing is said of the others.
    package func set(
        _ resources: [SnapshotResource], ofType typeURL: String, version: String = "", for key: String,
        at wall: WallTime? = nil
    ) {
        self.change(key, at: wall) { old in
            var snapshot = old ?? Snapshot()
            snapshot.set(resources, ofType: typeURL, version: version)
            return snapshot
        }
    }

    /// Forgets the key. Its clients keep what they have; groups that have nothing wait, and their streams end UNAVAILABLE.
    package func remove(_ key: String) { self.change(key, at: nil) { _ in nil } }

    /// Puts what `body` makes of the present snapshot in its place; nil: the key is forgotten. Nobody else changes anything
    /// meanwhile, so that it can be made to depend on what is there; what `body` throws leaves all as it was. It runs under
    /// a lock: make what is expensive before.
    package func change<Failure: Error>(
        _ key: String, at wall: WallTime?, _ body: (Snapshot?) throws(Failure) -> Snapshot?
    ) throws(Failure) {
        let outcome = self.shelf.withLock { shelf -> Result<Void, Failure> in
            let old = shelf.entries[key]?.state.snapshot
            do throws(Failure) {
                var new = try body(old)
                new?.share(with: old)
                let trouble = new == nil && old != nil ? "the snapshot of key \"\(key)\" was removed" : ""
                self.put(State(snapshot: new, trouble: trouble, updated: new == nil ? nil : wall), for: key, &shelf)
                return .success(())
            } catch {
                return .failure(error)
            }
        }
        try outcome.get()
    }

    /// A newer snapshot could not be made: why. The last one stays.
    package func fail(_ key: String, _ trouble: String) {
        self.shelf.withLock { shelf in
            var state = shelf.entries[key]?.state ?? State()
            state.trouble = trouble
            self.put(state, for: key, &shelf)
        }
    }

    private func put(_ state: State, for key: String, _ shelf: inout Shelf) {
        let followers = shelf.entries[key]?.followers ?? 0
        // Nobody asks why a key that nobody follows has nothing.
        let isWorthKeeping = state.snapshot != nil || followers != 0
        shelf.entries[key] = isWorthKeeping ? Entry(state: state, followers: followers) : nil
        for worker in 0..<UInt64.bitWidth where followers & 1 << UInt64(worker) != 0 {
            if !self.tell(worker, key) { shelf.missed |= 1 << UInt64(worker) }
        }
    }

    // MARK: What there is

    /// What the key has; its `contents` say in which version.
    package func snapshot(for key: String) -> Snapshot? { self.shelf.withLock { $0.entries[key]?.state.snapshot } }

    /// The version of a type of the key; nil: nothing is known of it.
    package func version(of key: String, typeURL: String) -> String? {
        self.snapshot(for: key)?.content(ofType: typeURL)?.version
    }

    /// Keys that have a snapshot.
    package var snapshotCount: Int {
        self.shelf.withLock { $0.entries.values.count { $0.state.snapshot != nil } }
    }

    /// Every key with a snapshot, or with trouble, and how it stands with it.
    package var states: [String: State] { self.shelf.withLock { $0.entries.mapValues(\.state) } }

    // MARK: Workers

    /// From now on the worker is told when the key's state is another. Returns the present one.
    package func follow(_ key: String, worker: Int) -> State {
        self.shelf.withLock { shelf in
            let isFirst = shelf.entries[key]?.followers ?? 0 == 0
            var entry = shelf.entries[key] ?? Entry(state: State())
            entry.followers |= 1 << UInt64(worker)
            shelf.entries[key] = entry
            if isFirst { self.demand(key, true) }
            return self.complete(entry.state, key)
        }
    }

    package func unfollow(_ key: String, worker: Int) {
        self.shelf.withLock { shelf in
            guard var entry = shelf.entries[key], entry.followers & 1 << UInt64(worker) != 0 else { return }
            entry.followers &= ~(1 << UInt64(worker))
            shelf.entries[key] = entry.state.snapshot == nil && entry.followers == 0 ? nil : entry
            if entry.followers == 0 { self.demand(key, false) }
        }
    }

    /// How it stands with a key, for a worker that was told that it is another.
    package func state(of key: String) -> State {
        self.shelf.withLock { self.complete($0.entries[key]?.state ?? State(), key) }
    }

    /// Whether a worker could not be told of something since it last asked: then it looks at everything that it follows.
    package func takeMissed(worker: Int) -> Bool {
        self.shelf.withLock { shelf in
            defer { shelf.missed &= ~(1 << UInt64(worker)) }
            return shelf.missed & 1 << UInt64(worker) != 0
        }
    }

    private func complete(_ state: State, _ key: String) -> State {
        var state = state
        if state.snapshot == nil, state.trouble.isEmpty { state.trouble = self.missing(key) }
        return state
    }
}
