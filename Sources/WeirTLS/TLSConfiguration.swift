/// The lowest protocol version that is spoken.
package enum TLSVersion: String, Hashable, Sendable, CaseIterable {
    case v1_2 = "TLSv1.2"
    case v1_3 = "TLSv1.3"
}

/// What a listener needs. Files are PEM and are read when the context is made.
package struct TLSServerConfiguration: Hashable, Sendable {
    /// Path: our certificate first, then the intermediate ones.
    package var certificateChain: String
    /// Path: unencrypted.
    package var privateKey: String
    /// Path: if set, a client must show a certificate that these issued.
    package var clientCA: String?
    /// If not empty, a client's certificate must carry a name that one of these patterns matches (see `sanMatches`).
    /// Needs `clientCA`.
    package var allowedSANs: [String]
    package var minimumVersion: TLSVersion

    package init(
        certificateChain: String, privateKey: String, clientCA: String? = nil, allowedSANs: [String] = [],
        minimumVersion: TLSVersion = .v1_2
    ) {
        self.certificateChain = certificateChain
        self.privateKey = privateKey
        self.clientCA = clientCA
        self.allowedSANs = allowedSANs
        self.minimumVersion = minimumVersion
    }
}

/// What connecting to an origin needs. Files are PEM and are read when the context is made.
package struct TLSClientConfiguration: Hashable, Sendable {
    /// Path: the issuers that are trusted; nil means those of the system.
    package var ca: String?
    /// Path: our certificate, for an origin that wants one. Goes with `privateKey`.
    package var certificateChain: String?
    package var privateKey: String?
    /// The name that the server's certificate must be for, and that is asked for by SNI: a DNS name, an IP address, or
    /// a URI such as a SPIFFE id (then without SNI). Nil: the host that was dialled.
    package var serverName: String?

    package init(
        ca: String? = nil, certificateChain: String? = nil, privateKey: String? = nil, serverName: String? = nil
    ) {
        self.ca = ca
        self.certificateChain = certificateChain
        self.privateKey = privateKey
        self.serverName = serverName
    }
}

/// Which end of a connection one is.
package enum TLSRole: Hashable, Sendable { case server, client }
