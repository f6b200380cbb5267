/// What the home of a group has the shards do to give a push to a few streams first.
package enum RolloutOrder: Sendable {
    /// Count the streams that the update concerns.
    case count(trial: Int, TypeUpdate)
    /// Give it to so many of them, by client version; the others stay as they are.
    case give(trial: Int, TypeUpdate, shares: [String: Int])

    package var typeURL: String {
        switch self {
        case .count(_, let update), .give(_, let update, _): update.typeURL
        }
    }
}

/// What shards say to that.
package struct RolloutReport: Sendable {
    package enum Content: Sendable {
        case counted([String: TrialCount])
        /// So many streams were sent it, or will be once they are ready.
        case given([String: Int])
        case answered(agent: String, TrialAnswer)
    }

    package var typeURL: String
    package var trial: Int
    package var content: Content

    package init(typeURL: String, trial: Int, _ content: Content) {
        self.typeURL = typeURL
        self.trial = trial
        self.content = content
    }
}

/// Streams of one client version that a push concerns, on one worker.
package struct TrialCount: Hashable, Sendable {
    /// Those that got earlier pushes first.
    package var firsts = 0
    package var others = 0

    package init(firsts: Int = 0, others: Int = 0) {
        self.firsts = firsts
        self.others = others
    }
}

/// What became of a push on one of the first streams.
package enum TrialAnswer: Hashable, Sendable {
    case accepted
    case rejected(node: String, message: String)
    /// The stream ended before it answered.
    case gone
}

/// How a rollout stands, for people.
package struct RolloutStatus: Hashable, Sendable {
    package var version: String
    package var given: Int
    package var accepted: Int
    package var rejected: Int
}

/// Whom an update is for.
package enum Audience: Sendable {
    /// Everybody; afterwards all hold the same.
    case all
    /// Those who are not among the first.
    case rest
    /// The first: it brings, or concerns, what the others do not have.
    case first
    /// The first: it takes them back to what the others have.
    case firstBack
}
