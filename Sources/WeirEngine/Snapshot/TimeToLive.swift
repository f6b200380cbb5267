package import WeirBase

/// How long a resource lives without word from the control plane (TTL-03).
package struct TimeToLive: Hashable, Sendable {
    /// What the control plane said.
    package var span: Nanoseconds
    /// When it is over, counted from when the control plane said so.
    package var expires: Instant

    package init(span: Nanoseconds, from now: Instant) {
        self.span = span
        self.expires = now + span
    }

    /// How old a span may be and still be passed on as it is: encoded responses are shared for so long.
    package static let tolerance = Nanoseconds.milliseconds(100)

    /// What a client is told that hears of it now: late joiners get what is left (TTL-04), at least a millisecond.
    package func left(at now: Instant) -> Nanoseconds {
        let left = self.expires - now
        return self.span - left < Self.tolerance ? self.span : max(left, .milliseconds(1))
    }
}
