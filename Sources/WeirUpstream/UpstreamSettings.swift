package import WeirBase
package import WeirLoop
package import WeirObserve
package import WeirTLS
package import WeirXDS

/// How a control plane is reached.
package struct UpstreamSettings: Hashable, Sendable {
    /// What is asked for; a server without delta is spoken to in SotW.
    package var variant: ProtocolVariant
    /// In order of preference; never empty.
    package var servers: [Endpoint]
    /// Nil: plaintext.
    package var tls: TLSClientConfiguration?
    package var connectTimeout = Nanoseconds.seconds(5)
    package var backoffInitial = Nanoseconds.milliseconds(500)
    package var backoffMax = Nanoseconds.seconds(30)
    /// A server that was silent for this long is sent a PING. Zero: never.
    package var keepaliveInterval = Nanoseconds.seconds(30)
    package var keepaliveTimeout = Nanoseconds.seconds(10)
    /// What the client calls itself in the `user-agent` header.
    package var userAgent = "weir/\(weirVersion)"

    /// A server that honours what it was told has nothing to say to a group that missed nothing: its silence for this long
    /// on an open stream says so.
    package static let silenceMeansCurrent = Nanoseconds.seconds(2)

    package init(variant: ProtocolVariant, servers: [Endpoint]) {
        self.variant = variant
        self.servers = servers
    }
}

/// What an `UpstreamClient` tells of itself, for people. On the client's loop.
package protocol UpstreamObserver: AnyObject {
    /// A line for the log.
    func note(_ level: LogLevel, _ message: String, _ fields: [(String, String)])
    /// A connection or stream that failed is begun anew.
    func upstreamTriesAgain(_ upstream: String)
    /// The state of its servers, in order of preference, and of its open discovery streams is another one.
    func upstream(_ upstream: String, servers: [ServerStatus], streams: Int)
    /// A certificate of ours was loaded.
    func upstreamLoaded(certificate file: String?, expiry: WallTime?)
}

/// What is known of one server of an upstream, for people.
package struct ServerStatus: Sendable {
    /// Rising: what one worker can use, the process can use.
    package enum State: Int, Sendable {
        case idle
        case failed
        case connecting
        case connected

        package var name: String {
            switch self {
            case .idle: "idle"
            case .failed: "failed"
            case .connecting: "connecting"
            case .connected: "connected"
            }
        }
    }

    package var address: String
    package var state = State.idle
    /// Empty while connected, unless streams end unanswered all the same.
    package var lastError = ""
    package var connectedSince: WallTime?

    package init(address: String) { self.address = address }
}
