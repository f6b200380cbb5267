import WeirXDS

@testable import WeirEngine

/// One thing that happens in a simulated run. Numbers pick among what there is at that moment, so that any part of a
/// run is a run too: a failing one can be shortened.
enum SimulationStep: CustomStringConvertible {
    enum Change { case wild, named, gone }

    case set(type: Int, changes: [String: Change], group: Int)
    case connect(ProtocolVariant, shard: Int, group: Int)
    /// One that subscribes like an Envoy: all clusters and listeners, some endpoints and routes.
    case typicalClient(ProtocolVariant, shard: Int, group: Int)
    case disconnect(client: Int)
    case reconnect(client: Int, otherShard: Bool, resumes: Bool)
    case subscribe(client: Int, type: Int, wildcard: Bool, names: Set<String>)
    case subscribeAgain(client: Int, type: Int)
    case rejects(client: Int, Bool)
    case acknowledges(client: Int, Bool)
    case reads(client: Int, Bool)
    case serverUp(Bool)
    case loseStream(Int)
    case replaceServer(same: Bool, variant: ProtocolVariant, ignores: Bool, splits: Bool)
    case stall(Int, Bool)
    case slowWorker(Int, Bool)
    case restart(resumes: Bool)
    case advance(milliseconds: Int64)
    case hop
    case settle
    /// The rest happen in guarded runs only.
    case hold(type: Int, group: Int)
    case release(type: Int, group: Int)
    case rollBack(type: Int, group: Int)
    case refresh(group: Int)
    /// In rich runs only.
    case rich(RichStep)

    var description: String {
        switch self {
        case .set(let type, let changes, let group):
            let text = changes.sorted { $0.key < $1.key }.map { "\($0.key):\($0.value)" }.joined(separator: " ")
            return "set \(RelaySimulation.types[type].label) \(text) of \(RelaySimulation.groups[group])"
        case .connect(let variant, let shard, let group):
            return "connect \(variant) on shard \(shard) to \(RelaySimulation.groups[group])"
        case .typicalClient(let variant, let shard, let group):
            return "connect typical \(variant) on shard \(shard) to \(RelaySimulation.groups[group])"
        case .disconnect(let client): return "disconnect #\(client)"
        case .reconnect(let client, let other, let resumes):
            return "reconnect #\(client)\(other ? " on the other shard" : "")\(resumes ? " resuming" : "")"
        case .subscribe(let client, let type, let wildcard, let names):
            return "subscribe #\(client) \(RelaySimulation.types[type].label) "
                + "\((wildcard ? ["*"] : []) + names.sorted())"
        case .subscribeAgain(let client, let type):
            return "subscribe #\(client) \(RelaySimulation.types[type].label) again"
        case .rejects(let client, let on): return "rejects #\(client) \(on)"
        case .acknowledges(let client, let on): return "acknowledges #\(client) \(on)"
        case .reads(let client, let on): return "reads #\(client) \(on)"
        case .serverUp(let on): return "server up \(on)"
        case .loseStream(let number): return "lose upstream stream \(number)"
        case .replaceServer(let same, let variant, let ignores, let splits):
            return "replace the server: same content \(same), \(variant), ignores irv \(ignores), splits \(splits)"
        case .stall(let number, let on): return "stall upstream stream \(number) \(on)"
        case .slowWorker(let number, let on): return "slow worker \(number) \(on)"
        case .restart(let resumes): return "restart the relay\(resumes ? ", clients resuming" : "")"
        case .advance(let milliseconds): return "advance \(milliseconds) ms"
        case .hop: return "hop"
        case .settle: return "settle"
        case .hold(let type, let group):
            return "hold \(RelaySimulation.types[type].label) of \(RelaySimulation.groups[group])"
        case .release(let type, let group):
            return "release \(RelaySimulation.types[type].label) of \(RelaySimulation.groups[group])"
        case .rollBack(let type, let group):
            return "roll back \(RelaySimulation.types[type].label) of \(RelaySimulation.groups[group])"
        case .rich(let step): return step.description
        case .refresh(let group): return "refresh \(RelaySimulation.groups[group])"
        }
    }
}
