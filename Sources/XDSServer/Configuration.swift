import WeirBase
import WeirConfig
import WeirLoop
import WeirRules
import WeirServer
public import WeirXDS

extension XDSServer {
    /// Where a server listens, and how it treats its clients.
    public struct Configuration: Sendable {
        /// Where clients connect. Not empty.
        public var listeners: [Listener]
        /// Where metrics (`/metrics`), readiness (`/ready`), the dumps and the debug page are, over HTTP: `host:port`. They
        /// tell whoever asks, so keep it on loopback. Nil: nowhere.
        public var adminAddress: String? = "127.0.0.1:9901"
        /// Gives each client the key of its snapshot, by what its first request says; what it throws ends the stream with
        /// INVALID_ARGUMENT and the reason. By default the key is the node's cluster.
        public var key: @Sendable (Client) throws(Refusal) -> String = { client in client.node.cluster }
        /// Told when a client rejects a response; by the server's workers, several at a time.
        public var onRejection: (@Sendable (Rejection) -> Void)?
        /// Threads that serve clients, 64 at most; 0: one for each core.
        public var workers = 0
        /// How long a client whose key has no snapshot waits for one until its stream ends UNAVAILABLE.
        public var coldTimeout = Duration.seconds(5)
        /// How long clients may take to go when the server stops.
        public var drainTimeout = Duration.seconds(30)
        /// How old connections get, give or take a tenth, until they are asked to go; so clients spread over servers. Zero:
        /// they live for ever.
        public var maximumConnectionAge = Duration.seconds(3600)
        /// How many connections there may be.
        public var maximumConnections = 20_000
        /// What is written to standard error; nil: nothing.
        public var logLevel: LogLevel? = .info
        /// The file with the descriptors of all xDS messages, which server reflection and the dumps need; nil:
        /// `xds-descriptors.binpb` beside the program, in `../share/weir`, or two folders up, as in a build.
        public var descriptorsFile: String?

        /// A server that listens in plaintext on these addresses: `host:port` with a numeric host, or `unix:///path`.
        public init(listeners addresses: [String]) { self.listeners = addresses.map { Listener(address: $0) } }
    }

    /// An address that a server listens on.
    public struct Listener: Hashable, Sendable {
        /// `host:port` with a numeric host (`0.0.0.0` and `[::]` mean all), or `unix:///path`.
        public var address: String
        /// Nil: plaintext.
        public var tls: TLS?

        /// A listener; in plaintext unless TLS is given.
        public init(address: String, tls: TLS? = nil) {
            self.address = address
            self.tls = tls
        }
    }

    /// TLS of a listener. All files are PEM, and are read again when they change.
    public struct TLS: Hashable, Sendable {
        /// The file of the server's certificate and its chain.
        public var certificateChainFile: String
        /// The file of the certificate's key.
        public var privateKeyFile: String
        /// The file of the issuers of client certificates; then each client must have one. Nil: none is asked for.
        public var clientCAFile: String?

        /// TLS without client certificates unless `clientCAFile` is given.
        public init(certificateChainFile: String, privateKeyFile: String, clientCAFile: String? = nil) {
            self.certificateChainFile = certificateChainFile
            self.privateKeyFile = privateKeyFile
            self.clientCAFile = clientCAFile
        }
    }

    /// What is known of a client when it needs a key.
    public struct Client: Sendable {
        /// What it says of itself.
        public let node: Node
        /// Its address without the port; empty on a Unix socket.
        public let address: String
        /// The URI and DNS names of its verified certificate, in their order; empty without one.
        public let certificateNames: [String]
    }

    /// Why a client gets no key.
    public struct Refusal: Error, Hashable, Sendable, CustomStringConvertible {
        /// What the client is told.
        public var reason: String

        /// A refusal for a reason, which should say what would be right.
        public init(_ reason: String) { self.reason = reason }

        public var description: String { self.reason }
    }

    /// A client did not take a response.
    public struct Rejection: Sendable {
        /// The client's node id.
        public let nodeID: String
        /// Its key.
        public let key: String
        /// The type of the response.
        public let type: XDSType
        /// The version of the response.
        public let version: String
        /// The client's reason.
        public let reason: String
    }

    /// How much a line of the log must matter to be written.
    public enum LogLevel: String, Hashable, Sendable, CaseIterable {
        /// Everything.
        case debug
        /// What changes, and what is worth knowing.
        case info
        /// What somebody should look at some time.
        case warning
        /// What somebody should look at now.
        case error
    }
}

extension XDSServer.Configuration {
    /// The relay's name for what the program sets.
    static let upstream = "program"
    private static let secondsMax: Int64 = 31_536_000

    /// The same as the relay takes it, checked.
    var relayConfiguration: RelayConfiguration {
        get throws(XDSServerError) {
            let upstream = UpstreamConfiguration(
                name: Self.upstream, origin: .program, coldTimeout: try self.span("coldTimeout", self.coldTimeout))
            var relay = RelayConfiguration(path: "", upstreams: [upstream], aggregation: .rules([]))
            guard !self.listeners.isEmpty else {
                throw XDSServerError(description: "listeners: there must be one at least, such as 127.0.0.1:18000")
            }
            relay.downstream.listeners = try self.listeners.map { listener throws(XDSServerError) in
                try Self.listener(listener)
            }
            relay.downstream.drainTimeout = try self.span("drainTimeout", self.drainTimeout)
            relay.downstream.connectionAgeMax = try self.span("maximumConnectionAge", self.maximumConnectionAge)
            guard self.maximumConnections > 0, (0...64).contains(self.workers) else {
                throw XDSServerError(description: "maximumConnections must be above 0, and workers from 0 to 64")
            }
            relay.downstream.limits.connectionsMax = self.maximumConnections
            relay.workers = self.workers
            // A program means what it sets: nothing is held back from clients.
            relay.guards.emptyPush = .allow
            if let address = self.adminAddress {
                guard let admin = EndpointAddress(address) else { throw Self.noAddress("adminAddress", address) }
                relay.admin.address = admin
            }
            relay.log.level = self.logLevel.flatMap { LogConfiguration.Level(rawValue: $0.rawValue) } ?? .error
            return relay
        }
    }

    private static func listener(_ listener: XDSServer.Listener) throws(XDSServerError) -> ListenerConfiguration {
        guard let address = EndpointAddress(listener.address) else {
            throw Self.noAddress("listeners", listener.address)
        }
        var result = ListenerConfiguration(address: address, tls: nil)
        if case .network(let host, let port) = address, SocketAddress(numericHost: host, port: port) == nil {
            throw XDSServerError(
                description: "listeners: \"\(listener.address)\" needs a numeric host; 0.0.0.0 means all addresses")
        }
        if let tls = listener.tls {
            var files = ServerTLSConfiguration(
                certificateChain: tls.certificateChainFile, privateKey: tls.privateKeyFile)
            files.clientCA = tls.clientCAFile
            result.tls = files
        }
        return result
    }

    private static func noAddress(_ field: String, _ text: String) -> XDSServerError {
        XDSServerError(description: "\(field): \"\(text)\" is no address; write host:port, [v6]:port or unix:///path")
    }

    private func span(_ field: String, _ duration: Duration) throws(XDSServerError) -> Nanoseconds {
        guard duration >= .zero, duration <= .seconds(Self.secondsMax) else {
            throw XDSServerError(description: "\(field): \(duration) is out of range; from 0 to a year")
        }
        return Nanoseconds(clamping: duration)
    }

    /// What code decides for the relay.
    var embedding: Embedding {
        var embedding = Embedding()
        let key = self.key
        embedding.key = { request in
            let client = XDSServer.Client(
                node: request.node, address: request.peerAddress, certificateNames: request.peerSANs)
            do throws(XDSServer.Refusal) {
                return .key(try key(client))
            } catch {
                return .refused(error.reason)
            }
        }
        if let onRejection = self.onRejection {
            embedding.onNack = { nack in
                onRejection(
                    XDSServer.Rejection(
                        nodeID: nack.nodeID, key: nack.key, type: nack.type, version: nack.version,
                        reason: nack.detail.message))
            }
        }
        embedding.hasAdmin = self.adminAddress != nil
        embedding.isSilent = self.logLevel == nil
        embedding.descriptors = self.descriptorsFile
        return embedding
    }
}
