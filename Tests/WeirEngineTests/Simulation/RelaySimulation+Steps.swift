import WeirBase
import WeirXDS

@testable import WeirEngine

/// What a seed makes happen.
extension RelaySimulation {
    /// The steps of a seed.
    static func steps(
        _ generator: inout SeededGenerator, isGuarded: Bool = false, isRich: Bool = false
    ) -> [SimulationStep] {
        let count = Int.random(in: 5...60, using: &generator)
        var steps: [SimulationStep] = [
            .set(type: 0, changes: ["a": .wild, "b": .wild, "x": .named], group: 0),
            .set(type: 3, changes: ["a": .wild, "c": .named], group: 0),
            .connect(Self.pick(ProtocolVariant.allCases, &generator), shard: 0, group: 0),
            .typicalClient(Self.pick(ProtocolVariant.allCases, &generator), shard: 1, group: 0),
        ]
        if isRich { steps += RichStep.beginning.map { .rich($0) } }
        for _ in 0..<count {
            steps.append(Self.step(&generator))
            if isRich, .random(using: &generator) { steps.append(.rich(.random(&generator))) }
            if isGuarded, Int.random(in: 0..<5, using: &generator) == 0 { steps.append(Self.guardStep(&generator)) }
            if Int.random(in: 0..<3, using: &generator) == 0 { steps.append(.settle) }
        }
        return steps
    }

    static func pick<T>(_ list: [T], _ generator: inout SeededGenerator) -> T {
        list[Int.random(in: 0..<list.count, using: &generator)]
    }

    static func step(_ g: inout SeededGenerator) -> SimulationStep {
        let client = Int.random(in: 0..<64, using: &g)
        let type = min(Int.random(in: 0..<6, using: &g), 3)
        let group = Int.random(in: 0..<4, using: &g) == 0 ? 1 : 0
        switch Int.random(in: 0..<108, using: &g) {
        case 0..<22: return .set(type: type, changes: Self.changes(&g), group: group)
        case 22..<28:
            return .connect(
                Self.pick(ProtocolVariant.allCases, &g), shard: Int.random(in: 0..<2, using: &g), group: group)
        case 28..<31: return .disconnect(client: client)
        case 31..<37: return .reconnect(client: client, otherShard: .random(using: &g), resumes: .random(using: &g))
        case 37..<60:
            let names = (Self.names + Self.onDemand).filter { _ in Int.random(in: 0..<3, using: &g) == 0 }
            let isWildcard = Int.random(in: 0..<(type % 2 == 0 ? 2 : 6), using: &g) == 0
            return .subscribe(client: client, type: type, wildcard: isWildcard, names: Set(names))
        case 60..<63: return .rejects(client: client, .random(using: &g))
        case 63..<66: return .acknowledges(client: client, .random(using: &g))
        case 66..<70: return .reads(client: client, .random(using: &g))
        case 70..<73: return .serverUp(.random(using: &g))
        case 73..<76: return .loseStream(Int.random(in: 0..<2, using: &g))
        case 76..<78:
            return .replaceServer(
                same: .random(using: &g), variant: Self.pick(ProtocolVariant.allCases, &g),
                ignores: .random(using: &g), splits: .random(using: &g))
        case 78..<84: return .stall(Int.random(in: 0..<2, using: &g), .random(using: &g))
        case 100..<102: return .subscribeAgain(client: client, type: type)
        case 102..<106: return .slowWorker(Int.random(in: 0..<2, using: &g), .random(using: &g))
        case 106: return .restart(resumes: .random(using: &g))
        case 107: return .typicalClient(Self.pick(ProtocolVariant.allCases, &g), shard: client % 2, group: group)
        case 84..<93: return .advance(milliseconds: Self.pick([1, 5, 20, 600, 1500, 2500, 6000, 16_000], &g))
        default: return .hop
        }
    }

    static func guardStep(_ g: inout SeededGenerator) -> SimulationStep {
        let type = Int.random(in: 0..<4, using: &g)
        let group = Int.random(in: 0..<4, using: &g) == 0 ? 1 : 0
        switch Int.random(in: 0..<10, using: &g) {
        case 0..<3: return .hold(type: type, group: group)
        case 3..<6: return .release(type: type, group: group)
        case 6..<9: return .rollBack(type: type, group: group)
        default: return .refresh(group: group)
        }
    }

    static func changes(_ g: inout SeededGenerator) -> [String: SimulationStep.Change] {
        var changes: [String: SimulationStep.Change] = [:]
        for _ in 0..<Int.random(in: 1...3, using: &g) {
            let name = Self.pick(Self.names + Self.onDemand, &g)
            let isGone = Int.random(in: 0..<4, using: &g) == 0
            let isNamed = Self.onDemand.contains(name) || Int.random(in: 0..<5, using: &g) == 0
            changes[name] = isGone ? .gone : isNamed ? .named : .wild
        }
        return changes
    }
}
