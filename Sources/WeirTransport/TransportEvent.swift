package import WeirLoop

/// Something an operator may want to read in the log. The transport writes no log itself.
package struct TransportEvent: Sendable, CustomStringConvertible {
    package enum Kind: String, Sendable {
        /// No descriptor or memory is left for further connections; accepting pauses.
        case acceptPaused
        case acceptFailed
        /// The bound on connections is reached; the newcomer was closed.
        case connectionRefused
        /// More connections in a second than may begin: this one waits for its turn. Not for the log.
        case connectionDelayed
        /// Its turn would have come too late; the newcomer was closed.
        case connectionRateExceeded
        /// Memory is short; the newcomer was closed.
        case connectionShed
        /// TLS or the first bytes of HTTP/2 failed, or took too long.
        case handshakeFailed
        /// The peer broke HTTP/2's rules later on.
        case protocolViolated
        /// A request was refused by its headers alone.
        case requestRefused
        /// The peer did not answer a PING.
        case keepaliveFailed
    }

    package var kind: Kind
    package var peer: SocketAddress?
    /// A whole sentence's worth, with the peer in it where there is one.
    package var text: String

    package var description: String { self.text }
}

/// Why a connection ended.
package struct ConnectionEnd: Equatable, Sendable, CustomStringConvertible {
    package enum Cause: String, Sendable {
        /// The peer ended it, or the network did.
        case peer
        /// We ended it, as was asked for, or after a drain.
        case local
        case connectFailed
        case handshakeFailed
        case protocolViolated
        case keepaliveFailed
    }

    package var cause: Cause
    package var reason: String

    package var description: String { self.reason }
}
