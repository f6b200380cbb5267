import Glibc
import Testing
import WeirBase
import WeirXDS

@testable import WeirEngine

/// Random histories against the invariants of a relay (conformance, "Randomised model test").
///
/// `WEIR_SEEDS=n` runs the first n seeds, `WEIR_FIRST_SEED=m` begins at another; `WEIR_SEED=n` runs that one alone and
/// prints all that happens. Swift hashes differently in each process; with `SWIFT_DETERMINISTIC_HASHING=1` a seed is the
/// same run every time.
@Suite struct RelaySimulationTests {
    @Test(
        "SOTW-11 DELTA-14 AGG-05 AGG-07 AGG-09 AGG-16 AGG-17 XLT-09 ORD-02 ORD-03 ORD-05 whatever happens, clients end with the truth, and never see an unsafe state"
    )
    func simulation() {
        if let seed = environmentNumber("WEIR_SEED") { return Self.replay(UInt64(seed)) }
        let count = environmentNumber("WEIR_SEEDS")
        let first = environmentNumber("WEIR_FIRST_SEED") ?? 0
        var failures = 0
        for seed in first..<first + (count ?? 400) where failures < 3 {
            if count != nil, seed > first, (seed - first) % 1000 == 0 { say("\(seed - first) seeds") }
            guard let report = Self.failure(of: UInt64(seed)) else { continue }
            failures += 1
            Issue.record(Comment(rawValue: report))
        }
    }

    @Test(
        "UP-19 AGG-05 AGG-07 clients of a relay that tries, holds and rolls back pushes end with the truth once released"
    )
    func guarded() {
        if let seed = environmentNumber("WEIR_GUARDED_SEED") { return Self.replay(UInt64(seed), isGuarded: true) }
        let count = (environmentNumber("WEIR_SEEDS") ?? 400) / 2
        let first = environmentNumber("WEIR_FIRST_SEED") ?? 0
        var failures = 0
        for seed in first..<first + count where failures < 3 {
            guard let report = Self.failure(of: UInt64(seed), isGuarded: true) else { continue }
            failures += 1
            Issue.record(Comment(rawValue: report))
        }
    }

    @Test("the simulation catches a relay that breaks a promise", arguments: Sabotage.Kind.allCases)
    func sabotage(_ kind: Sabotage.Kind) {
        var complaints: [String] = []
        for seed in 0..<300 where complaints.isEmpty {
            var generator = SeededGenerator(seed: UInt64(seed))
            let steps = Self.history(&generator)
            let sabotage = Sabotage(kind, after: Int.random(in: 0..<20, using: &generator))
            let faults = Self.run(steps, World(UInt64(seed)), sabotage: sabotage)
            complaints = faults.filter { $0.contains(kind.complaint) }
        }
        #expect(!complaints.isEmpty)
    }

    private struct World {
        var variant: ProtocolVariant
        var isFederated: Bool
        var isStored: Bool
        var isGuarded: Bool

        init(_ seed: UInt64, isGuarded: Bool = false) {
            self.isGuarded = isGuarded
            self.variant = seed % 2 == 0 ? .sotw : .delta
            self.isFederated = seed / 2 % 4 == 3
            self.isStored = seed / 8 % 2 == 1
        }
    }

    private static func history(_ generator: inout SeededGenerator, isGuarded: Bool = false) -> [SimulationStep] {
        RelaySimulation.steps(&generator, isGuarded: isGuarded)
    }

    /// Prints a seed's history, shortened if it fails, with everything that the clients see.
    private static func replay(_ seed: UInt64, isGuarded: Bool = false) {
        var generator = SeededGenerator(seed: seed)
        let world = World(seed, isGuarded: isGuarded)
        let all = Self.history(&generator, isGuarded: isGuarded)
        let steps = Self.run(all, world).isEmpty ? all : Self.shorten(all, world)
        let faults = Self.run(steps, world) { say($0) }
        guard !faults.isEmpty else { return say("seed \(seed): nothing is wrong") }
        Issue.record(Comment(rawValue: Self.report(seed, steps, faults, isGuarded: isGuarded)))
    }

    /// Nil, or what went wrong in the shortest history with a failure that could be found.
    private static func failure(of seed: UInt64, isGuarded: Bool = false) -> String? {
        var generator = SeededGenerator(seed: seed)
        let world = World(seed, isGuarded: isGuarded)
        let all = Self.history(&generator, isGuarded: isGuarded)
        guard !Self.run(all, world).isEmpty else { return nil }
        let steps = Self.shorten(all, world)
        return Self.report(seed, steps, Self.run(steps, world), isGuarded: isGuarded)
    }

    private static func report(_ seed: UInt64, _ steps: [SimulationStep], _ faults: [String], isGuarded: Bool) -> String
    {
        let trace = steps.map { "    \($0)" }.joined(separator: "\n")
        return "seed \(seed), \(World(seed)); again, with all that happens: "
            + "SWIFT_DETERMINISTIC_HASHING=1 WEIR_\(isGuarded ? "GUARDED_" : "")SEED=\(seed) "
            + "swift test --filter RelaySimulationTests\n\(trace)\n"
            + faults.joined(separator: "\n")
    }

    /// Leaves out of a failing history what it also fails without.
    private static func shorten(_ all: [SimulationStep], _ world: World) -> [SimulationStep] {
        var steps = all
        var size = max(1, steps.count / 2)
        while size >= 1 {
            var start = 0
            while start < steps.count {
                var shorter = steps
                shorter.removeSubrange(start..<min(start + size, steps.count))
                if Self.run(shorter, world).isEmpty { start += size } else { steps = shorter }
            }
            size /= 2
        }
        return steps
    }

    /// What is wrong at the first moment at which something is.
    private static func run(
        _ steps: [SimulationStep], _ world: World, sabotage: Sabotage? = nil,
        log: ((String) -> Void)? = nil
    ) -> [String] {
        let simulation = RelaySimulation(
            world.variant, isFederated: world.isFederated, isStored: world.isStored, isGuarded: world.isGuarded,
            sabotage: sabotage, log: log)
        for step in steps where simulation.faults.isEmpty { simulation.run(step) }
        return simulation.faults.isEmpty ? simulation.finish() : simulation.faults
    }
}

private func say(_ line: String) {
    print(line)
    fflush(nil)
}

/// A number from the environment.
private func environmentNumber(_ name: String) -> Int? {
    guard let text = unsafe getenv(name) else { return nil }
    return Int(unsafe String(cString: text))
}
