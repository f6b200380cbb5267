import WeirBase
import WeirEngine

/// What workers say to each other, and what the rest of the process says to them. Immutable values: the only thing that
/// crosses threads.
enum WorkerMessage: Sendable {
    /// From the shard of `worker` to the home of a group.
    case group(key: String, worker: Int, command: GroupCommand)
    /// From a home to a shard.
    case update(key: String, TypeUpdate)
    case originState(key: String, OriginState)
    case rollout(key: String, RolloutOrder)
    case groupRefused(key: String, code: RefusalCode, reason: RejectionReason, message: String)
    /// From who feeds an origin within the process to the homes of those who follow it: something else is there.
    case snapshot(upstream: String, source: String)
    /// From the store to a home: what was stored of a group that has just been opened.
    case restored(key: String, ticket: Int, [RestoredType])
    /// Runs on the worker's loop, between rounds: inspection and operator commands.
    case perform(@Sendable (Worker) -> Void)
    /// Asks connections to leave within the time, then ends.
    case drain(Nanoseconds)
    case stop

    /// The key of the group that a home tells its followers something about; nil of all else.
    var keyOfGroup: String? {
        switch self {
        case .update(let key, _), .originState(let key, _), .rollout(let key, _), .groupRefused(let key, _, _, _): key
        default: nil
        }
    }
}
