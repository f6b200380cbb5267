package import WeirBase

/// What is kept of a gRPC request's headers.
package struct RequestHead: Equatable, Sendable {
    /// `/package.Service/Method`; what it means is the receiver's business.
    package var path: String
    package var authority: String
    package var userAgent: String
    /// nil: the client sets no deadline.
    package var timeout: Nanoseconds?
    /// `weir-warm`: a sibling relay asks, for the group of this digest.
    package var sibling: String?
}

/// The initial headers of a response that is a gRPC stream.
package struct ResponseHead: Equatable, Sendable {
    package var server: String
}

/// A call to open.
package struct CallHead: Sendable {
    /// `/package.Service/Method`.
    package var path: String
    package var authority: String
    /// `http` or `https`.
    package var scheme: String
    package var userAgent: String
    /// Further fields, with names in lower case. Values must be free of line ends (our configuration's duty).
    package var metadata: [(name: String, value: String)] = []

    package init(path: String, authority: String, scheme: String, userAgent: String) {
        self.path = path
        self.authority = authority
        self.scheme = scheme
        self.userAgent = userAgent
    }
}

/// How a stream ended. Delivered exactly once for every stream that was opened.
package struct StreamEnd: Equatable, Sendable, CustomStringConvertible {
    package enum Cause: String, Sendable {
        /// Trailers were sent (server) or received (client).
        case finished
        /// The peer reset the stream.
        case resetByPeer = "reset by peer"
        /// We reset the stream.
        case resetLocally = "reset locally"
        /// What the peer sent on the stream broke a rule.
        case violated
        /// The connection ended.
        case connectionLost = "connection lost"
    }

    package var cause: Cause
    package var status: GRPCStatus
    package var message: String

    package init(_ cause: Cause, _ status: GRPCStatus, _ message: String) {
        self.cause = cause
        self.status = status
        self.message = message
    }

    package var description: String {
        "\(self.cause.rawValue): \(GRPCFailure(self.status, self.message))"
    }
}

/// A GOAWAY that the peer sent.
package struct GoAway: Equatable, Sendable, CustomStringConvertible {
    /// Streams of ours above this were not processed (RFC 9113 §6.8). 2³¹ - 1: only a notice.
    package var lastStream: Int32
    package var code: HTTP2ErrorCode
    /// The first bytes of the debug data, as text.
    package var debug: String

    package var description: String {
        self.debug.isEmpty ? "GOAWAY \(self.code)" : "GOAWAY \(self.code): \(self.debug)"
    }
}
