package import WeirBase

/// What the self-check client of a worker waits for, and since when. Pure.
package struct SelfCheckQuestion: Hashable, Sendable {
    package enum Stage: Hashable, Sendable {
        /// The answer to a new client.
        case answer
        /// Which state the home published last.
        case home
        /// That state.
        case state(Generation)
    }

    package enum Verdict: Hashable, Sendable {
        case waiting
        /// The newest state is here, and the client has it.
        case fresh
        /// It has waited for longer than it may.
        case late
        /// Nobody follows the type here any more.
        case over
    }

    package private(set) var stage: Stage
    package private(set) var askedAt: Instant

    package init(_ stage: Stage, at now: Instant) {
        self.stage = stage
        self.askedAt = now
    }

    /// What was waited for is there; now for the next.
    package mutating func move(to stage: Stage, at now: Instant) { self = SelfCheckQuestion(stage, at: now) }

    /// `here`: the newest state on this worker; nil if nobody follows the type. `isCurrent`: whether the client has it.
    package func verdict(here: Generation?, isCurrent: Bool, now: Instant, lagMax: Nanoseconds) -> Verdict {
        guard let here = here else { return .over }
        if case .state(let published) = self.stage, here >= published, isCurrent { return .fresh }
        return now - self.askedAt > lagMax ? .late : .waiting
    }
}
