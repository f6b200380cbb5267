import WeirBase
import WeirConfig
import WeirLoop
import WeirObserve
import WeirTLS
import WeirTransport

/// One attempt to get a connection to one server of an upstream. Confined to the worker's loop.
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
struct TrialRequest {
    var message: [UInt8]
    var expectsAnswer: Bool
}

/// The TLS side of one upstream: its context, and the watch on its files. A rotated pair, or another CA, serves new
/// connections; those there are go on. Confined to the worker's loop.
final class UpstreamTLS {
    private let files: ClientTLSConfiguration
    private(set) var context: TLSContext?
    /// Why there is no context.
    private(set) var error: String?
    private var watchers: [PathWatcher] = []

    init(_ files: ClientTLSConfiguration, upstream: String, loop: Loop, shared: RelayShared) {
        self.files = files
        self.load(shared)
        let paths = [files.ca, files.certificateChain, files.privateKey].compactMap { $0 }
        self.watchers = paths.map { path in
            PathWatcher(loop: loop, path: path) { [weak self] in self?.reload(upstream, path, shared) }
        }
    }

    /// Returns why the files cannot be used; then what was loaded before stays.
    @discardableResult
    private func load(_ shared: RelayShared) -> String? {
        do throws(TLSError) {
            self.context = try TLSContext.client(
                TLSClientConfiguration(
                    ca: self.files.ca, certificateChain: self.files.certificateChain,
                    privateKey: self.files.privateKey, serverName: self.files.serverName))
            self.error = nil
            shared.certificates.set(.upstream, self.files.certificateChain, self.context?.certificateExpiry)
            return nil
        } catch {
            if self.context == nil { self.error = error.description }
            return error.description
        }
    }

    private func reload(_ upstream: String, _ path: String, _ shared: RelayShared) {
        guard let error = self.load(shared) else {
            return shared.logger.log(.info, "upstream TLS files reloaded", [("upstream", upstream), ("file", path)])
        }
        // Half a rotation: the other file will change too. The old pair goes on serving.
        shared.logger.log(
            .warning, "upstream TLS files not reloaded, the old ones stay",
            [("upstream", upstream), ("file", path), ("error", error)])
    }

    func cancel() { for watcher in self.watchers { watcher.cancel() } }
}
