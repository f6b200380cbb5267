import Glibc
import Synchronization
import WeirBase
import WeirLoop
import WeirTransport

/// How near the process is to `downstream.limits.max_memory`. Looked at by the main thread, read by the workers.
final class MemoryWatch: Sendable {
    private let budget: Atomic<Int>
    private let level = Atomic<Int>(0)
    private let trimmedAt = Atomic<Int64>(0)

    /// Memory that the program freed is given back to the system this often while there is too little.
    private static let trimInterval = Nanoseconds.seconds(5)

    /// - Parameter budget: bytes; 0: none.
    init(budget: Int) { self.budget = Atomic(budget) }

    func set(budget: Int) { self.budget.store(budget, ordering: .relaxed) }

    var pressure: MemoryPressure { MemoryPressure(rawValue: self.level.load(ordering: .relaxed)) ?? .none }

    /// Looks at what the process holds now. From one thread.
    ///
    /// - Returns: the new state, if it is another one, and the bytes held.
    func look() -> (now: MemoryPressure, used: Int)? {
        let budget = self.budget.load(ordering: .relaxed)
        let old = self.pressure
        if budget == 0, old == .none { return nil }
        let used = budget == 0 ? 0 : self.residentBytes
        let new = MemoryPressure(used: used, budget: budget)
        if new > .none { self.trim() }
        guard new != old else { return nil }
        self.level.store(new.rawValue, ordering: .relaxed)
        return (new, used)
    }

    /// What is resident counts, as it does for those who end processes that hold too much: also what was freed and not
    /// given back.
    private func trim() {
        let now = Loop.monotonicNow().rawValue
        guard now - self.trimmedAt.load(ordering: .relaxed) >= Self.trimInterval.rawValue else { return }
        self.trimmedAt.store(now, ordering: .relaxed)
        ProcessMemory.giveBack()
    }

    private var residentBytes: Int {
        let fields = ProcessReader.read("/proc/self/statm").split(separator: " ")
        return (fields.count > 1 ? Int(fields[1]) ?? 0 : 0) * max(1, sysconf(CInt(_SC_PAGESIZE)))
    }
}
