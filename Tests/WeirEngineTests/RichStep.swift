import WeirBase
import WeirXDS

@testable import WeirEngine

/// What happens in rich runs besides: collections, times to live, errors of single resources. Numbers pick among what there
/// is, as in `SimulationStep`.
enum RichStep: CustomStringConvertible {
    static let globs = ["p/*", "r/*"]
    /// Besides these there is `p/keep`, which never changes. A server that ignores what it is told shows that by sending it
    /// again; what is the only member of its collection needs no such thing, for its end is the collection's.
    static let members = ["p/1", "p/2", "r/1"]
    /// Types of which some resources have a time to live: none that routes refer to, which would be left without.
    static let mortalTypes: [XDSType] = [.eds, .lds, .leds]

    case setMembers([String: SimulationStep.Change], group: Int)
    case subscribeMembers(client: Int, Set<String>)
    case subscribeMembersAgain(client: Int)
    /// Sets a resource that lives so long without word of it; `dies`: there will be none.
    case setMortal(type: Int, name: String, seconds: Int64, dies: Bool, group: Int)
    /// A name cannot be answered, with a gRPC status code, or can again.
    case fail(type: Int, name: String, code: Int?, group: Int)

    static let beginning: [RichStep] = [
        .setMembers(["p/1": .named, "p/2": .named, "r/1": .named], group: 0),
        .subscribeMembers(client: 0, ["p/*"]), .subscribeMembers(client: 1, ["p/*", "r/1"]),
    ]

    private static func pick<T>(_ list: [T], _ generator: inout SeededGenerator) -> T {
        list[Int.random(in: 0..<list.count, using: &generator)]
    }

    static func random(_ g: inout SeededGenerator) -> RichStep {
        let client = Int.random(in: 0..<64, using: &g)
        let group = Int.random(in: 0..<4, using: &g) == 0 ? 1 : 0
        switch Int.random(in: 0..<24, using: &g) {
        case 0..<6:
            var changes: [String: SimulationStep.Change] = [:]
            for _ in 0..<Int.random(in: 1...3, using: &g) {
                changes[Self.pick(Self.members, &g)] = Int.random(in: 0..<3, using: &g) == 0 ? .gone : .named
            }
            return .setMembers(changes, group: group)
        case 6..<14:
            let names = (Self.globs + Self.members).filter { _ in Int.random(in: 0..<3, using: &g) == 0 }
            return .subscribeMembers(client: client, Set(names))
        case 14..<15: return .subscribeMembersAgain(client: client)
        case 15..<20:
            let type = Int.random(in: 0..<3, using: &g)
            return .setMortal(
                type: type, name: Self.pick(type == 2 ? Self.members : ["a", "b", "c", "x"], &g),
                seconds: Int64.random(in: 2...4, using: &g), dies: Int.random(in: 0..<3, using: &g) == 0, group: group)
        default:
            let type = Int.random(in: 0..<5, using: &g)
            return .fail(
                type: type, name: Self.pick(type == 4 ? Self.globs + Self.members : ["c", "d", "x"], &g),
                code: Self.pick([nil, nil, 5, 14], &g), group: group)
        }
    }

    var description: String {
        switch self {
        case .setMembers(let changes, let group):
            let text = changes.sorted { $0.key < $1.key }.map { "\($0.key):\($0.value)" }.joined(separator: " ")
            return "set leds \(text) of \(RelaySimulation.groups[group])"
        case .subscribeMembers(let client, let names): return "subscribe #\(client) leds \(names.sorted())"
        case .subscribeMembersAgain(let client): return "subscribe #\(client) leds again"
        case .setMortal(let type, let name, let seconds, let dies, let group):
            return "set \(Self.mortalTypes[type].label) \(name) for \(seconds) s\(dies ? ", and no longer," : "") of "
                + RelaySimulation.groups[group]
        case .fail(let type, let name, let code, let group):
            let label = type == 4 ? "leds" : RelaySimulation.types[type].label
            return "fail \(label) \(name) \(code.map(String.init) ?? "no more") of \(RelaySimulation.groups[group])"
        }
    }
}

extension RelaySimulation {
    func carryOut(_ step: RichStep) {
        switch step {
        case .setMembers(let changes, let group): self.set(.leds, changes, group)
        case .subscribeMembers(let number, let names):
            // There is no SotW variant of the type.
            guard let client = self.client(number), client.variant == .delta else { return }
            self.subscribe(client, .leds, false, names)
        case .subscribeMembersAgain(let number): self.client(number)?.subscribeAgain(.leds)
        case .setMortal(let type, let name, let seconds, let dies, let group):
            self.setMortal(RichStep.mortalTypes[type], name, .seconds(seconds), dies, group)
        case .fail(let type, let name, let code, let group): self.server(group).fail(self.types[type], name, code)
        }
    }

    private func setMortal(_ type: XDSType, _ name: String, _ span: Nanoseconds, _ dies: Bool, _ group: Int) {
        self.version += 1
        let server = self.server(group)
        var entries = self.entries(type, [name: Self.onDemand.contains(name) ? .named : .wild], server, group)
        entries[name]??.timeToLive = span
        if dies { entries[name]??.dies = self.harness.now + span }
        server.set(type, entries)
    }

    /// Lets time pass. Where there are times to live it passes slowly enough for word of them to come in time.
    func advance(_ span: Nanoseconds) {
        guard self.isRich else { return self.harness.advance(span) }
        var left = span.rawValue
        while left > 0 {
            let step = min(left, Nanoseconds.milliseconds(500).rawValue)
            self.harness.advance(Nanoseconds(rawValue: step))
            left -= step
        }
    }

    /// An upstream stream goes on. What died meanwhile for want of a word, its control plane takes for there; so in rich
    /// runs it begins anew.
    func endStall(_ number: Int) {
        self.harness.stalledStreams.remove(number)
        if self.isRich { self.harness.loseStream(number) }
    }
}
