import WeirBase
import WeirXDS

@testable import WeirEngine

/// What happens in rich runs besides: collections, aliases, times to live, what must be fetched each time, errors of single
/// resources. Numbers pick among what there is, as in `SimulationStep`.
enum RichStep: CustomStringConvertible {
    static let globs = ["p/*", "r/*"]
    /// Besides these there is `p/keep`, which never changes. A server that ignores what it is told shows that by sending it
    /// again; what is the only member of its collection needs no such thing, for its end is the collection's.
    static let members = ["p/1", "p/2", "r/1"]
    /// Types that have collections. Where a control plane may speak SotW there are none of the first.
    static let collectionTypes: [XDSType] = [.leds, .eds, .lds]
    /// What a member or collection is called in a type: endpoints of localities come in collections whatever their names.
    static func name(_ name: String, _ type: XDSType) -> String { type == .leds ? name : "xdstp:///t/\(name)" }

    /// Virtual hosts, and the other names that each is asked for by (NAME-08).
    private static let hosts = ["v/1": ["v/a", "v/b"], "v/2": ["v/c"]]
    static let hostNames = ["v/1", "v/2", "v/a", "v/b", "v/c"]
    static func aliases(of name: String) -> [String] { Self.hosts[name] ?? [] }
    /// That there is none is said of this one by an entry without payload (NAME-09), of the others by a removal.
    static let unresolvable = "v/c"
    /// Names that exist by name only.
    static let named =
        collectionTypes.flatMap { type in (members + ["p/keep"]).map { Self.name($0, type) } } + hosts.keys
    /// Types of which some resources have a time to live: none that routes refer to, which would be left without.
    static let mortalTypes: [XDSType] = [.eds, .lds, .leds]

    case setMembers(type: Int, [String: SimulationStep.Change], group: Int)
    case subscribeMembers(client: Int, type: Int, Set<String>)
    case subscribeMembersAgain(client: Int)
    case setHost(String, SimulationStep.Change, group: Int)
    case subscribeHosts(client: Int, Set<String>)
    case subscribeHostsAgain(client: Int)
    /// Sets a resource that may not be answered from memory.
    case setUncached(type: Int, name: String, group: Int)
    /// Sets a resource that lives so long without word of it; `dies`: there will be none.
    case setMortal(type: Int, name: String, seconds: Int64, dies: Bool, group: Int)
    /// A name cannot be answered, with a gRPC status code, or can again.
    case fail(type: Int, name: String, code: Int?, group: Int)

    static let beginning: [RichStep] = [
        .setMembers(type: 0, ["p/1": .named, "p/2": .named, "r/1": .named], group: 0),
        .subscribeMembers(client: 0, type: 0, ["p/*"]), .subscribeMembers(client: 1, type: 0, ["p/*", "r/1"]),
        .setMembers(type: 2, ["p/1": .named], group: 0), .subscribeMembers(client: 0, type: 2, ["p/*"]),
        .setHost("v/1", .named, group: 0), .subscribeHosts(client: 0, ["v/a"]),
    ]

    private static func pick<T>(_ list: [T], _ generator: inout SeededGenerator) -> T {
        list[Int.random(in: 0..<list.count, using: &generator)]
    }

    static func random(_ g: inout SeededGenerator) -> RichStep {
        let client = Int.random(in: 0..<64, using: &g)
        let group = Int.random(in: 0..<4, using: &g) == 0 ? 1 : 0
        switch Int.random(in: 0..<40, using: &g) {
        case 0..<6:
            var changes: [String: SimulationStep.Change] = [:]
            for _ in 0..<Int.random(in: 1...3, using: &g) {
                changes[Self.pick(Self.members, &g)] = Int.random(in: 0..<3, using: &g) == 0 ? .gone : .named
            }
            return .setMembers(type: Int.random(in: 0..<3, using: &g), changes, group: group)
        case 6..<14:
            let names = (Self.globs + Self.members).filter { _ in Int.random(in: 0..<3, using: &g) == 0 }
            return .subscribeMembers(client: client, type: Int.random(in: 0..<3, using: &g), Set(names))
        case 14..<15: return .subscribeMembersAgain(client: client)
        case 24..<28:
            let change: SimulationStep.Change = Int.random(in: 0..<3, using: &g) == 0 ? .gone : .named
            return .setHost(.random(using: &g) ? "v/1" : "v/2", change, group: group)
        case 28..<34:
            let names = Self.hostNames.filter { _ in Int.random(in: 0..<3, using: &g) == 0 }
            return .subscribeHosts(client: client, Set(names))
        case 34..<35: return .subscribeHostsAgain(client: client)
        case 35..<40:
            return .setUncached(
                type: Int.random(in: 0..<4, using: &g), name: Self.pick(["a", "c", "x"], &g), group: group)
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
        case .setMembers(let type, let changes, let group):
            let text = changes.sorted { $0.key < $1.key }.map { "\($0.key):\($0.value)" }.joined(separator: " ")
            return "set members of \(Self.collectionTypes[type].label) \(text) of \(RelaySimulation.groups[group])"
        case .subscribeMembers(let client, let type, let names):
            return "subscribe #\(client) to members of \(Self.collectionTypes[type].label) \(names.sorted())"
        case .subscribeMembersAgain(let client): return "subscribe #\(client) leds again"
        case .setHost(let name, let change, let group):
            return "set vhds \(name):\(change) of \(RelaySimulation.groups[group])"
        case .subscribeHosts(let client, let names): return "subscribe #\(client) vhds \(names.sorted())"
        case .subscribeHostsAgain(let client): return "subscribe #\(client) vhds again"
        case .setUncached(let type, let name, let group):
            return "set \(RelaySimulation.types[type].label) \(name), not to be cached, of "
                + RelaySimulation.groups[group]
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
        case .setMembers(let type, let changes, let group):
            self.setMembers(RichStep.collectionTypes[type], changes, group)
        case .subscribeMembers(let number, let type, let names):
            if let client = self.client(number) {
                self.subscribeMembers(client, RichStep.collectionTypes[type], names)
            }
        case .subscribeMembersAgain(let number): self.client(number)?.subscribeAgain(.leds)
        case .setHost(let name, let change, let group):
            if !self.maySpeakSotW { self.set(.vhds, [name: change], group) }
        case .subscribeHosts(let number, let names):
            if let client = self.client(number), self.isDeltaOnly(client) {
                self.subscribe(client, .vhds, false, names)
            }
        case .subscribeHostsAgain(let number): self.client(number)?.subscribeAgain(.vhds)
        case .setUncached(let type, let name, let group): self.setUncached(Self.types[type], name, group)
        case .setMortal(let type, let name, let seconds, let dies, let group):
            self.setMortal(RichStep.mortalTypes[type], name, .seconds(seconds), dies, group)
        case .fail(let type, let name, let code, let group):
            if !self.maySpeakSotW { self.server(group).fail((Self.types + [.leds])[type], name, code) }
        }
    }

    /// Whether there are the types that have no SotW variant, and a client may ask for them.
    private func isDeltaOnly(_ client: RelayClient) -> Bool { !self.maySpeakSotW && client.variant == .delta }

    func setMembers(_ type: XDSType, _ changes: [String: SimulationStep.Change], _ group: Int) {
        guard type != .leds || !self.maySpeakSotW else { return }
        let named = changes.map { (RichStep.name($0.key, type), $0.value) }
        self.set(type, Dictionary(uniqueKeysWithValues: named), group)
    }

    /// Changes what a client wants of collections, and leaves what else it wants of the type.
    private func subscribeMembers(_ client: RelayClient, _ type: XDSType, _ wanted: Set<String>) {
        guard type != .leds || self.isDeltaOnly(client) else { return }
        // To a SotW client a collection's name is a name like any other (XLT-10).
        let mine = wanted.filter { client.variant == .delta || !$0.hasSuffix("*") }.map { RichStep.name($0, type) }
        let old = client.held[type]
        let others = (old?.names ?? []).filter {
            ResourceName.collection(of: $0, type: type)?.hasPrefix("xdstp:///") != true
        }
        self.subscribe(client, type, old?.wildcard ?? false, type == .leds ? Set(mine) : others.union(mine))
    }

    private func setUncached(_ type: XDSType, _ name: String, _ group: Int) {
        self.version += 1
        let server = self.server(group)
        var entries = self.entries(type, [name: Self.onDemand.contains(name) ? .named : .wild], server, group)
        entries[name]??.isUncached = true
        server.set(type, entries)
    }

    private func setMortal(_ type: XDSType, _ name: String, _ span: Nanoseconds, _ dies: Bool, _ group: Int) {
        guard type != .leds || !self.maySpeakSotW else { return }
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
