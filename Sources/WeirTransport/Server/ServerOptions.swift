package import WeirBase
package import WeirHTTP2

/// How a listener treats its connections.
package struct ServerOptions: Sendable {
    package var limits = SessionLimits.server
    /// TLS and HTTP/2's preface must be there after this.
    package var handshakeTimeout = Nanoseconds.seconds(10)
    /// A peer that was silent for this long is sent a PING. Zero: never.
    package var keepaliveInterval = Nanoseconds.seconds(30)
    /// A peer that is silent for this long after a PING is taken for dead.
    package var keepaliveTimeout = Nanoseconds.seconds(10)
    /// A connection is asked to go elsewhere after this, give or take a tenth. Zero: never.
    package var connectionAgeMax = Nanoseconds.zero
    /// How long streams may go on after that, until they are ended UNAVAILABLE.
    package var connectionAgeGrace = Nanoseconds.seconds(10)
    package var backlog = 4096

    package init() {}
}
