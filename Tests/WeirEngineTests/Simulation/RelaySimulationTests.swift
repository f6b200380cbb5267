import Glibc
import Testing
import WeirBase
import WeirXDS

@testable import WeirEngine

/// Random histories against the invariants of a relay (conformance, "Randomised model test").
///
/// `WEIR_SEEDS=n` runs the first n seeds, `WEIR_FIRST_SEED=m` begins at another; `WEIR_SEED=n` runs that one alone and
/// prints all that happens, `WEIR_GUARDED_SEED` and `WEIR_RICH_SEED` do so in the other two kinds of world. Swift hashes
/// differently in each process; with `SWIFT_DETERMINISTIC_HASHING=1` a seed is the same run every time.
@Suite struct RelaySimulationTests {
    @Test(
        "SOTW-11 DELTA-14 AGG-05 AGG-07 AGG-09 AGG-16 AGG-17 XLT-09 ORD-02 ORD-03 ORD-05 whatever happens, clients end with the truth, and never see an unsafe state"
    )
    func simulation() {
        Self.simulate(.plain)
    }

    @Test(
        "UP-19 AGG-05 AGG-07 clients of a relay that tries, holds and rolls back pushes end with the truth once released"
    )
    func guarded() {
        Self.simulate(.guarded)
    }

    @Test(
        "NAME-03 NAME-04 NAME-05 NAME-08 NAME-09 NAME-14 TTL-02 TTL-03 TTL-04 XLT-11 AGG-23 clients of collections and aliases, of what lives for a time, must be fetched or cannot be answered end with the truth"
    )
    func rich() {
        Self.simulate(.rich)
    }

    @Test("the simulation catches a relay that breaks a promise", arguments: Sabotage.Kind.allCases)
    func sabotage(_ kind: Sabotage.Kind) {
        #expect(Self.isNoticed(kind))
    }

    @Test(
        "the simulation catches a relay that breaks a promise of collections or times to live behind SotW",
        arguments: [Sabotage.Kind.keepMember, .loseHeartbeats])
    func sabotageBehindSotW(_ kind: Sabotage.Kind) {
        #expect(Self.isNoticed(kind, behind: .sotw))
    }

    private static func isNoticed(_ kind: Sabotage.Kind, behind variant: ProtocolVariant? = nil) -> Bool {
        (0..<300).contains { seed in
            var generator = SeededGenerator(seed: UInt64(seed))
            let world = World(UInt64(seed), kind.isRich ? .rich : .plain)
            guard variant == nil || world.variant == variant else { return false }
            let steps = Self.history(&generator, world.kind)
            let sabotage = Sabotage(kind, after: Int.random(in: 0..<20, using: &generator))
            return Self.run(steps, world, sabotage: sabotage).contains { $0.contains(kind.complaint) }
        }
    }

    private struct World {
        /// What else happens in it: nothing, an operator's hand, or what `RichStep` is about.
        enum Kind: String {
            case plain = ""
            case guarded = "GUARDED_"
            case rich = "RICH_"

            /// Of how many seeds one is run.
            var share: Int { self == .plain ? 1 : 2 }
        }

        var variant: ProtocolVariant
        var isFederated: Bool
        var isStored: Bool
        var kind: Kind

        init(_ seed: UInt64, _ kind: Kind) {
            self.kind = kind
            // Some of what rich worlds have can be said in delta only.
            self.variant = seed % (kind == .rich ? 3 : 2) == 0 ? .sotw : .delta
            self.isFederated = seed / 2 % 4 == 3
            self.isStored = seed / 8 % 2 == 1
        }
    }

    /// Runs the seeds that the environment names, or those of every test run.
    private static func simulate(_ kind: World.Kind) {
        if let seed = environmentNumber("WEIR_\(kind.rawValue)SEED") { return self.replay(UInt64(seed), kind) }
        let count = environmentNumber("WEIR_SEEDS")
        let first = environmentNumber("WEIR_FIRST_SEED") ?? 0
        var failures = 0
        for seed in first..<first + (count ?? 400) / kind.share where failures < 3 {
            if count != nil, kind == .plain, seed > first, (seed - first) % 1000 == 0 { say("\(seed - first) seeds") }
            guard let report = self.failure(of: UInt64(seed), kind) else { continue }
            failures += 1
            Issue.record(Comment(rawValue: report))
        }
    }

    private static func history(_ generator: inout SeededGenerator, _ kind: World.Kind) -> [SimulationStep] {
        RelaySimulation.steps(&generator, isGuarded: kind == .guarded, isRich: kind == .rich)
    }

    /// Prints a seed's history, shortened if it fails, with everything that the clients see.
    private static func replay(_ seed: UInt64, _ kind: World.Kind) {
        var generator = SeededGenerator(seed: seed)
        let world = World(seed, kind)
        let all = Self.history(&generator, kind)
        let steps = Self.run(all, world).isEmpty ? all : Self.shorten(all, world)
        let faults = Self.run(steps, world) { say($0) }
        guard !faults.isEmpty else { return say("seed \(seed): nothing is wrong") }
        Issue.record(Comment(rawValue: Self.report(seed, steps, faults, kind)))
    }

    /// Nil, or what went wrong in the shortest history with a failure that could be found.
    private static func failure(of seed: UInt64, _ kind: World.Kind) -> String? {
        var generator = SeededGenerator(seed: seed)
        let world = World(seed, kind)
        let all = Self.history(&generator, kind)
        guard !Self.run(all, world).isEmpty else { return nil }
        let steps = Self.shorten(all, world)
        return Self.report(seed, steps, Self.run(steps, world), kind)
    }

    private static func report(
        _ seed: UInt64, _ steps: [SimulationStep], _ faults: [String], _ kind: World.Kind
    ) -> String {
        let trace = steps.map { "    \($0)" }.joined(separator: "\n")
        return "seed \(seed), \(World(seed, kind)); again, with all that happens: "
            + "SWIFT_DETERMINISTIC_HASHING=1 WEIR_\(kind.rawValue)SEED=\(seed) "
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
            world.variant, isFederated: world.isFederated, isStored: world.isStored,
            isGuarded: world.kind == .guarded, isRich: world.kind == .rich, sabotage: sabotage, log: log)
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
