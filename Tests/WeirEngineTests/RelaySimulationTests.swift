import Glibc
import Testing
import WeirBase
import WeirXDS

@testable import WeirEngine

/// Random histories against the invariants of a relay (conformance, "Randomised model test").
///
/// `WEIR_SEEDS=n` runs the first n seeds, `WEIR_SEED=n` that one alone. Swift hashes differently in each process; with
/// `SWIFT_DETERMINISTIC_HASHING=1` a seed is the same run every time.
@Suite struct RelaySimulationTests {
    @Test("SOTW-11 DELTA-14 AGG-05 AGG-07 AGG-09 AGG-16 AGG-17 XLT-09 whatever happens, clients end with the truth")
    func simulation() {
        let only = environmentNumber("WEIR_SEED").map { [$0] }
        let seeds = only ?? Array(0..<(environmentNumber("WEIR_SEEDS") ?? 400))
        var failures = 0
        for seed in seeds where failures < 3 {
            guard let report = Self.failure(of: UInt64(seed)) else { continue }
            failures += 1
            Issue.record(Comment(rawValue: report))
        }
    }

    private static func variant(_ seed: UInt64) -> ProtocolVariant { seed % 2 == 0 ? .sotw : .delta }

    /// Nil, or what went wrong in the shortest history with a failure that could be found.
    private static func failure(of seed: UInt64) -> String? {
        var generator = SeededGenerator(seed: seed)
        var steps = RelaySimulation.steps(&generator)
        var faults = Self.run(steps, Self.variant(seed))
        guard !faults.isEmpty else { return nil }
        var size = max(1, steps.count / 2)
        while size >= 1 {
            var start = 0
            while start < steps.count {
                var shorter = steps
                shorter.removeSubrange(start..<min(start + size, steps.count))
                let found = Self.run(shorter, Self.variant(seed))
                if found.isEmpty {
                    start += size
                } else {
                    steps = shorter
                    faults = found
                }
            }
            size /= 2
        }
        let trace = steps.map { "    \($0)" }.joined(separator: "\n")
        return "WEIR_SEED=\(seed), upstream \(Self.variant(seed)):\n\(trace)\n" + faults.joined(separator: "\n")
    }

    private static func run(_ steps: [SimulationStep], _ variant: ProtocolVariant) -> [String] {
        let simulation = RelaySimulation(variant)
        for step in steps { simulation.run(step) }
        return simulation.finish()
    }
}

/// A number from the environment.
private func environmentNumber(_ name: String) -> Int? {
    guard let text = unsafe getenv(name) else { return nil }
    return Int(unsafe String(cString: text))
}
