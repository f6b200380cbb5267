import Synchronization

/// How many connections all listeners of the process may hold together. Shared by threads.
package final class ConnectionQuota: Sendable {
    package let connectionsMax: Int
    private let used = Atomic<Int>(0)
    private let refusals = Atomic<Int>(0)

    package init(connectionsMax: Int) { self.connectionsMax = connectionsMax }

    package var count: Int { self.used.load(ordering: .relaxed) }
    /// Connections that were closed because the quota was used up.
    package var refused: Int { self.refusals.load(ordering: .relaxed) }

    /// Whether there was room; then `giveBack` must follow once.
    func take() -> Bool {
        if self.used.add(1, ordering: .relaxed).newValue <= self.connectionsMax { return true }
        self.used.subtract(1, ordering: .relaxed)
        self.refusals.add(1, ordering: .relaxed)
        return false
    }

    func giveBack() { self.used.subtract(1, ordering: .relaxed) }
}
