package import WeirBase
package import WeirRules

/// `downstream`: what proxies connect to.
package struct DownstreamConfiguration: Hashable, Sendable {
    package static let defaultListener = ListenerConfiguration(
        address: .network(host: "127.0.0.1", port: 18000), tls: nil)

    /// Never empty; no address stands twice.
    package var listeners = [Self.defaultListener]
    package var limits = DownstreamLimits()
    package var keepalive = KeepaliveConfiguration()
    /// A connection is asked to leave after this time ±10 %; 0: never.
    package var connectionAgeMax = Nanoseconds.seconds(3_600)
    package var drainTimeout = Nanoseconds.seconds(30)
    /// Whether delta clients that come back are spared what they ask for by name, if they say that they hold it.
    package var trustsVersionsOfNames = true
    package var health = HealthConfiguration()
    package var clientStatus = ClientStatusConfiguration()
}

/// `downstream.client_status`: the client status service (CSDS).
package struct ClientStatusConfiguration: Hashable, Sendable {
    /// Whose certificates may ask it; empty: every client.
    package var allowedSANs: [SANPattern] = []
}

/// `downstream.health`: what health checks over gRPC say.
package struct HealthConfiguration: Hashable, Sendable {
    package enum ColdStart: String, Hashable, Sendable, CaseIterable {
        case serving
        case notServing = "not_serving"
    }

    /// While clients wait for resources and no upstream has ever answered.
    package var coldStart = ColdStart.serving
}

/// One of `downstream.listeners`.
package struct ListenerConfiguration: Hashable, Sendable {
    package var address: EndpointAddress
    /// Nil: plaintext.
    package var tls: ServerTLSConfiguration?

    package init(address: EndpointAddress, tls: ServerTLSConfiguration?) {
        self.address = address
        self.tls = tls
    }
}

/// `tls` of a listener. The files existed when the configuration was read.
package struct ServerTLSConfiguration: Hashable, Sendable {
    package enum Version: String, Hashable, Sendable, CaseIterable {
        case tls12 = "TLSv1.2"
        case tls13 = "TLSv1.3"
    }

    package var certificateChain: String
    package var privateKey: String
    /// Present: a client certificate is required.
    package var clientCA: String?
    /// Empty: every certificate that `clientCA` vouches for.
    package var allowedSANs: [SANPattern] = []
    package var minimumVersion = Version.tls12

    package init(certificateChain: String, privateKey: String) {
        self.certificateChain = certificateChain
        self.privateKey = privateKey
    }
}

/// `downstream.limits`.
package struct DownstreamLimits: Hashable, Sendable {
    package var connectionsMax = 20_000
    package var streamsPerConnectionMax = 5_000
    package var requestBytesMax = 32 << 20
    /// Over it a delta response is split.
    package var responseBytesMax = 4 << 20
    /// For each stream, by reading it more slowly; 0: no limit.
    package var requestsPerSecondMax = 0
    /// Connections that may begin in a second, of all listeners; 0: no limit.
    package var connectionsPerSecondMax = 0
    /// The same for those with TLS.
    package var handshakesPerSecondMax = 0
    /// How long a connection may wait for its turn; one that would wait longer is closed at once.
    package var admissionTimeout = Nanoseconds.seconds(3)
    /// Resident bytes of the process, near which clients are turned away; 0: no limit.
    package var memoryMax = 0
    /// How long a client may take nothing of what waits for it; 0: for ever.
    package var stalledReaderTimeout = Nanoseconds.seconds(60)
    package var firstRequestTimeout = Nanoseconds.seconds(10)
    /// How long one response of a type waits for its answer before the next one may follow.
    package var ackTimeout = Nanoseconds.seconds(5)
}

/// `keepalive`: HTTP/2 PINGs.
package struct KeepaliveConfiguration: Hashable, Sendable {
    /// 0: none are sent.
    package var interval = Nanoseconds.seconds(30)
    package var timeout = Nanoseconds.seconds(10)
}
