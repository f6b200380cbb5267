package import WeirBase

/// `checks`: what the relay looks at by itself.
package struct CheckConfiguration: Hashable, Sendable {
    /// `drift`: whether what is held is what the control plane says to somebody new.
    package struct Drift: Hashable, Sendable {
        /// Each group is looked at once in this time, where that is possible; 0: only when asked to.
        package var interval = Nanoseconds.zero
        /// A difference counts if it is there so long after it was first seen.
        package var confirmAfter = Nanoseconds.seconds(15)
        /// How long the control plane may take to answer.
        package var timeout = Nanoseconds.seconds(15)
        /// Whether a group that drifts is refreshed.
        package var heals = false
    }

    /// `freshness`: a client of the relay's own on each worker.
    package struct Freshness: Hashable, Sendable {
        /// How often it asks anew; 0: there is none.
        package var interval = Nanoseconds.seconds(10)
        /// What it has not been sent in this time is late.
        package var lagMax = Nanoseconds.seconds(5)
    }

    package var drift = Drift()
    package var freshness = Freshness()
}
