import WeirBase
import WeirLoop
import WeirTransport

/// One attempt to get a connection to one server of an upstream. Confined to the client's loop.
final class UpstreamAttempt {
    enum Purpose {
        /// No server is in use.
        case candidate
        /// The server in use takes no more streams on the connections there are.
        case another
        /// A better server than the one in use is tried out: connected to, and asked once.
        case trial
    }

    let server: Int
    let purpose: Purpose
    let startedAt: Instant
    var lookUp: ResolverClient.Request?
    var connection: ClientConnection?
    /// What a trial asks, once it does.
    var question: Question?

    struct Question {
        var stream: Int32
        var call: SlotID
        var askedAt: Instant
        /// Whether silence is no answer: the server in use has answered the same.
        var expectsAnswer: Bool
    }

    init(server: Int, purpose: Purpose, startedAt: Instant) {
        self.server = server
        self.purpose = purpose
        self.startedAt = startedAt
    }
}

/// A request of a group that a server is tried out with; what comes back is dropped.
package struct TrialRequest: Sendable {
    package var message: [UInt8]
    /// Whether the server in use has answered the same.
    package var expectsAnswer: Bool

    package init(message: [UInt8], expectsAnswer: Bool) {
        self.message = message
        self.expectsAnswer = expectsAnswer
    }
}
