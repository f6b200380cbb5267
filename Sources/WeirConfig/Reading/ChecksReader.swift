import WeirBase
import WeirYAML

extension Field {
    func checks() -> CheckConfiguration? {
        guard let section = self.section(["drift", "freshness"]) else { return nil }
        var checks = CheckConfiguration()
        section.read("drift", into: &checks.drift) { $0.driftCheck() }
        section.read("freshness", into: &checks.freshness) { $0.freshnessCheck() }
        return checks
    }

    private func driftCheck() -> CheckConfiguration.Drift? {
        guard let section = self.section(["interval", "confirm_after", "timeout", "heal"]) else { return nil }
        var drift = CheckConfiguration.Drift()
        section.read("interval", into: &drift.interval) { $0.duration(.checkInterval, orZero: true) }
        section.read("confirm_after", into: &drift.confirmAfter) { $0.duration(.timeout) }
        section.read("timeout", into: &drift.timeout) { $0.duration(.timeout) }
        section.read("heal", into: &drift.heals) { $0.flag() }
        return drift
    }

    private func freshnessCheck() -> CheckConfiguration.Freshness? {
        guard let section = self.section(["interval", "max_lag"]) else { return nil }
        var freshness = CheckConfiguration.Freshness()
        section.read("interval", into: &freshness.interval) { $0.duration(.checkInterval, orZero: true) }
        section.read("max_lag", into: &freshness.lagMax) { $0.duration(.timeout) }
        return freshness
    }
}

extension ClosedRange<Nanoseconds> {
    /// Sooner than that a check would be a load of its own.
    fileprivate static let checkInterval = Nanoseconds.seconds(1)...Nanoseconds.seconds(7 * 86_400)
}
