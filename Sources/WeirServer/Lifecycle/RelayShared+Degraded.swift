import WeirBase
import WeirConfig
import WeirLoop

extension RelayShared {
    /// Why weir is less than it could be, a sentence each, though it serves what it has. Any thread.
    var degraded: [String] {
        var reasons = self.configuration.upstreams.compactMap { upstream in
            self.upstreams.trouble(of: upstream.name).map { "upstream \(upstream.name): \($0)" }
        }
        let pressure = self.memory.pressure
        if pressure > .none { reasons.append("memory: \(pressure.name)") }
        if let trouble = self.store?.trouble { reasons.append("store: \(trouble)") }
        let now = Loop.monotonicNow()
        return reasons + self.holds.troubles(now) + self.drift.troubles(now) + self.freshness.troubles(now)
    }
}
