package import WeirBase
package import WeirXDS

/// How a group gets on with its origin. Values come from the relay's configuration.
package struct OriginPolicy: Sendable {
    /// How long a name, or a whole type, outlives its last subscriber upstream (AGG-07).
    package var linger = Nanoseconds.seconds(30)
    /// After this long on a connected stream without an answer a name counts as not existing (UP-12).
    package var doesNotExistAfter = Nanoseconds.seconds(15)
    /// Changes of interest that follow each other within this time go upstream as one request (UP-16).
    package var interestTick = Nanoseconds.milliseconds(10)
    /// How long after the last response of a full answer what it did not mention counts as gone (AGG-10).
    package var sweepDelay = Nanoseconds.milliseconds(500)
    /// Whether what changes is handed to a store.
    package var isStored = false
    /// Whether that goes for secrets (SDS) too.
    package var storesSecrets = false
    /// How long clients are not shown what was stored, while the control plane may yet say something newer.
    package var restoreDelay = Nanoseconds.milliseconds(500)
    /// What keeps pushes from clients, to begin with.
    package var guards = GuardPolicy()
    /// Whether what becomes of pushes is told of.
    package var isJournaled = true
    /// Gives each push its id; nil: they are counted for each group by itself.
    package var nextPush: (@Sendable () -> PushID)?
    /// Looks at each resource of a response before it is taken, and says why it is rejected, or nil. Nil: payloads are not
    /// looked at (UP-04).
    package var validate: (@Sendable (XDSResource) -> String?)?

    package init() {}
}

/// What a group's home asks of its shell.
package enum OriginAction: Sendable {
    /// The upstream stream of this number is wanted: the shell connects, backs off and fails over by itself, and says
    /// `streamOpened` each time it has one.
    case openStream(Int)
    /// It is not wanted any more.
    case closeStream(Int)
    /// An encoded request, without gRPC prefix.
    case send(stream: Int, message: [UInt8])
    /// A new state for the workers whose bits are set.
    case publish(TypeUpdate, workers: UInt64)
    case originState(OriginState, workers: UInt64)
    /// Something to do with a push that a few streams get first; in order with `publish`.
    case rollout(RolloutOrder, workers: UInt64)
    case event(OriginEvent)
    /// What became of a push, after the `publish` that it is about.
    case record(PushNews)
    /// Nothing is wanted any more, and no worker is interested: the group may be dropped.
    case idle
}

/// What happened between a group and its origin, for logs and counters.
package enum OriginEvent: Sendable, Equatable {
    case accepted(typeURL: String, version: String, resources: Int, fate: PushFate, push: PushID)
    /// The response was NACKed: why, by resource.
    case rejected(typeURL: String, version: String, reason: String, push: PushID)
    /// A response for a type that was never requested (UP-17).
    case ignored(typeURL: String)
    /// The bytes are no discovery response; the stream is closed.
    case undecodable(reason: String)
    case doesNotExist(typeURL: String, name: String)
    /// From here on clients of the type keep what they have; told again when what is held becomes something else.
    case held(typeURL: String, HoldStatus)
    /// A push that a few clients got first goes to everybody.
    case rolledOut(typeURL: String, version: String, given: Int, accepted: Int, push: PushID)
    /// Too many of them rejected it.
    case rejectedByClients(typeURL: String, version: String)
    /// They do not any more.
    case released(typeURL: String, reason: HoldReason, how: String, after: Nanoseconds)
}

/// What becomes of a response that was accepted.
package enum PushFate: Hashable, Sendable {
    /// So many changes go to the clients.
    case sent(Int)
    case unchanged
    /// They are kept from the clients.
    case held(HoldReason)
    /// A few clients get them first; `rolledOut` or `rejectedByClients` says how that ends, unless another push replaces
    /// this one.
    case tried
}

/// One type of a group, for people.
package struct OriginTypeStatus: Sendable {
    package var type: XDSType
    package var version: String
    package var resources: Int
    package var bytes: Int
    package var updated: WallTime?
    /// Whether it came from the store and the control plane has not confirmed it since, by words or by silence.
    package var isStale = false
    /// Nil while clients are sent what the control plane says.
    package var hold: HoldStatus?
    /// Nil while no push is tried.
    package var rollout: RolloutStatus?
    /// What can be gone back to, newest first.
    package var past: [PastStatus]
}
