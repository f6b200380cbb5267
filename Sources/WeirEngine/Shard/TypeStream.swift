package import WeirBase

/// What one stream and one type have to do with each other: a few words of fixed size, however many resources there are.
///
/// At any time it is in one of three places: a member of a cohort (settled or awaiting an answer), detached with an
/// answer due (its subscription just changed, or it is new), or idle without a subscription.
struct TypeStream: BitwiseCopyable {
    static let none: Int32 = -1

    /// The stream it belongs to, by slot and generation.
    var stream: Int32
    var streamGeneration: UInt32 = 0
    /// The next type of the same stream, in push order.
    var next = Self.none
    var view: Int32
    var subscription = Self.none
    /// Its cohort; none while detached.
    var cohort = Self.none
    /// Its place in the cohort's list of idle or awaiting members.
    var position: Int32 = 0
    /// While detached: the generation its client has been sent, 0 for nothing yet.
    var base: Generation = 0
    /// While detached: what must be sent beyond what changed since `base`; an index into the shard's table.
    var owed = Self.none

    var nonce = Nonce.none
    /// Bit i: the response i before the newest has not been answered.
    var outstanding: UInt64 = 0
    /// Milliseconds of the shard's clock when the newest response was handed over.
    var sentAt: UInt32 = 0

    /// SotW: digest of the name list last adopted.
    var namesDigest: UInt64 = 0
    /// Whether a name, `*` included, was ever requested: then an empty list is no wildcard any more (SOTW-03).
    var hasNamed = false
    /// Whether a request for the type was handled: the first has rules of its own.
    var isInitialized = false
    /// Whether it waits in the shard's list of answers due.
    var isDue = false
    /// Whether its turn in the present `flush` is still to come.
    var isEnlisted = false
    /// Whether the newest response was rejected; the record stands in the shard's table until the next ACK.
    var isRejected = false
    /// Whether any response was sent.
    var wasAnswered = false
    /// Which of its cohort's two lists it is in.
    var isInAwaitingList = false
    /// Whether it counts among the unsettled of its view.
    var isUnsettled = false

    /// Whether newer content waits for an answer to what was sent.
    var isBehind = false
    /// Tells most types of a stream apart (`TypeView.typeMark`).
    var typeMark: UInt64 = 0
    /// The shell's name for the stream, here so that a push need not look elsewhere.
    var handle: UInt64

    init(stream: Int32, view: Int32, handle: UInt64) {
        self.stream = stream
        self.view = view
        self.handle = handle
    }

    /// Notes its place in its cohort.
    mutating func stands(at position: Int32, awaiting: Bool) {
        self.position = position
        self.isInAwaitingList = awaiting
    }

    var isAwaiting: Bool { self.outstanding != 0 }
    var outstandingCount: Int { self.outstanding.nonzeroBitCount }
}

/// The versions of a type stream, for people and for telling ACKs; apart from `TypeStream` so that that stays plain data.
struct TypeVersions {
    /// Last acknowledged; empty for none.
    var acked = ""
    /// Last sent; empty for none. A member of a cohort has the cohort's instead.
    var sent = ""
    /// The generation sent when everything was last accepted, under the present subscription.
    var acceptedGeneration: Generation = 0

    /// `everything`: the generation sent, where nothing of it is left to be answered.
    mutating func note(acked version: String, everything generation: Generation?) {
        self.acked = version
        if let generation { self.acceptedGeneration = generation }
    }
}

/// What a detached type stream is owed beyond the changes since its base.
struct OwedAnswer {
    /// Names to send whether they changed or not (DELTA-05, SOTW-09), or to report as gone (DELTA-06).
    var names: Set<NameID> = []
    /// Everything subscribed, as to a new client.
    var everything = false
    /// What the client says it holds already; kept until the origin has answered all of it.
    var resume: ResumeState?
    /// When it said so.
    var resumedAt: Instant?
}

/// What a reconnecting client holds from an earlier stream.
enum ResumeState {
    /// Delta: `initial_resource_versions`.
    case resources(HeldVersions)
    /// SotW: `version_info`.
    case version(String)

    /// It holds something, of which nothing is known: no group has this version, so that the whole is sent, also when that
    /// is nothing.
    static let matchesNothing = ResumeState.version("\u{1}")
}

/// The rejected response of one type stream, kept until it acknowledges another.
package struct Rejection: Sendable {
    package var version: String
    package var message: String
    package var at: WallTime
}
