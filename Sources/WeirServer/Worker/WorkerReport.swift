import Synchronization
import WeirEngine
import WeirLoop
import WeirObserve
import WeirXDS

/// What one worker lets other threads see without asking it: its pulse. Written by the worker.
final class WorkerReport: Sendable {
    private let slot = Locked<LoopPulse?>(nil)

    /// Nil until the worker's loop exists.
    var pulse: LoopPulse? { self.slot.withLock { $0 } }

    func set(_ pulse: LoopPulse) { self.slot.withLock { $0 = pulse } }
}

/// Carries a shard's own counters over into the process's metrics. Confined to the worker.
struct CounterExport {
    /// As of the last export, by row.
    private var exported: ContiguousArray<TypeCounters> = []
    private var nodeChanges = 0

    mutating func export(_ shard: Shard, to metrics: RelayMetrics) {
        if shard.nodeChanges != self.nodeChanges {
            metrics.nodeChanges.add(UInt64(clamping: shard.nodeChanges - self.nodeChanges))
            self.nodeChanges = shard.nodeChanges
        }
        for row in shard.counterRows.indices {
            if row == self.exported.count { self.exported.append(TypeCounters()) }
            let (counters, last) = (shard.counterRows[row], self.exported[row])
            guard counters != last else { continue }
            let type = shard.counterTypes[row]
            self.exported[row] = counters
            metrics.requests(type: type.label).add(UInt64(clamping: counters.requests - last.requests))
            metrics.responses(type: type.label).add(UInt64(clamping: counters.responses - last.responses))
            metrics.acks(type: type.label).add(UInt64(clamping: counters.acks - last.acks))
            metrics.nacks(type: type.label).add(UInt64(clamping: counters.nacks - last.nacks))
            metrics.oversized(type: type.label).add(UInt64(clamping: counters.oversized - last.oversized))
        }
    }
}
