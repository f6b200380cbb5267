import WeirBase
import WeirLoop
import WeirTLS
import WeirUpstream
public import WeirXDS

extension XDSClient {
    /// Where a client connects, and as whom.
    public struct Configuration: Sendable {
        /// The servers of one control plane in order of preference: `host:port`, `[v6]:port` or `unix:///path`. While the
        /// first cannot be used the next one is, until the first answers again.
        public var servers: [String]
        /// Who the client is; sent once on each stream.
        public var node: Node
        /// The form of the protocol that is asked for. A server without delta is spoken to in SotW.
        public var variant = ProtocolVariant.delta
        /// Nil: plaintext.
        public var tls: TLS?
        /// How long a connection may take until it is given up.
        public var connectTimeout = Duration.seconds(5)
        /// The longest first wait after a failure; waits are random between zero and a bound that doubles up to
        /// `maximumBackoff`.
        public var initialBackoff = Duration.milliseconds(500)
        /// The longest wait after a failure.
        public var maximumBackoff = Duration.seconds(30)
        /// A server that was silent for this long is sent a PING; zero: never.
        public var keepaliveInterval = Duration.seconds(30)
        /// A server that is silent for this long after a PING is taken for dead.
        public var keepaliveTimeout = Duration.seconds(10)
        /// A name that was not answered for this long on an open stream is reported as missing.
        public var missingAfter = Duration.seconds(15)
        /// The `user-agent` header.
        public var userAgent = "weir-xds-client/\(weirVersion)"

        /// A configuration with the defaults of a proxy: delta, plaintext.
        public init(servers: [String], node: Node) {
            self.servers = servers
            self.node = node
        }
    }

    /// TLS towards the control plane. All files are PEM, and are read again when they change.
    public struct TLS: Hashable, Sendable {
        /// The file of the issuers that are trusted; nil: those of the system.
        public var caFile: String?
        /// The file of the client's certificate and its chain; goes with `privateKeyFile`.
        public var certificateChainFile: String?
        /// The file of the certificate's key.
        public var privateKeyFile: String?
        /// The name that the server's certificate must be for; nil: the host that is connected to.
        public var serverName: String?

        /// Trusts the system's issuers, and shows no certificate, unless the properties say otherwise.
        public init() {}
    }

    /// Why a resource cannot be used: what a validation throws, and the text of the NACK.
    public struct Rejection: Error, Hashable, Sendable, CustomStringConvertible {
        /// For the people who run the control plane; cut after 2 KiB with all others of the same response.
        public var reason: String

        /// A rejection for a reason, which should name the field and say what would be right.
        public init(_ reason: String) { self.reason = reason }

        public var description: String { self.reason }
    }
}

/// Why a client cannot be made.
public struct XDSClientError: Error, Hashable, Sendable, CustomStringConvertible {
    public let description: String
}

extension XDSClient.Configuration {
    /// The same as the connection handling takes it, checked.
    var settings: UpstreamSettings {
        get throws(XDSClientError) {
            var servers: [Endpoint] = []
            for text in self.servers {
                do throws(AddressError) {
                    servers.append(try Endpoint(parsing: text))
                } catch {
                    throw XDSClientError(description: "servers: \(error.description)")
                }
            }
            guard !servers.isEmpty else {
                throw XDSClientError(description: "servers: there must be one at least, such as 127.0.0.1:18000")
            }
            if let tls = self.tls, (tls.certificateChainFile == nil) != (tls.privateKeyFile == nil) {
                throw XDSClientError(description: "tls: certificateChainFile and privateKeyFile go together")
            }
            var settings = UpstreamSettings(variant: self.variant, servers: servers)
            settings.tls = self.tls.map {
                TLSClientConfiguration(
                    ca: $0.caFile, certificateChain: $0.certificateChainFile, privateKey: $0.privateKeyFile,
                    serverName: $0.serverName)
            }
            settings.connectTimeout = try self.span("connectTimeout", self.connectTimeout, atLeast: 1)
            settings.backoffInitial = try self.span("initialBackoff", self.initialBackoff, atLeast: 1)
            settings.backoffMax = try self.span("maximumBackoff", self.maximumBackoff, atLeast: 1)
            settings.keepaliveInterval = try self.span("keepaliveInterval", self.keepaliveInterval)
            settings.keepaliveTimeout = try self.span("keepaliveTimeout", self.keepaliveTimeout, atLeast: 1)
            settings.userAgent = self.userAgent
            return settings
        }
    }

    var missingAfterSpan: Nanoseconds {
        get throws(XDSClientError) { try self.span("missingAfter", self.missingAfter, atLeast: 1) }
    }

    /// A time of the configuration in nanoseconds; up to a day, which is more than any of them needs.
    private func span(
        _ name: String, _ duration: Duration, atLeast least: Int64 = 0
    ) throws(XDSClientError) -> Nanoseconds {
        guard duration <= .seconds(86_400), duration >= .nanoseconds(least) else {
            throw XDSClientError(
                description: "\(name): \(duration) is out of range; from \(least > 0 ? "1 ns" : "0") to a day")
        }
        return Nanoseconds(clamping: duration)
    }
}
