package import WeirBase
package import WeirRules

/// One of `upstreams`.
package struct UpstreamConfiguration: Hashable, Sendable {
    package enum Origin: Hashable, Sendable {
        case grpc(GRPCOriginConfiguration)
        case files(FilesOriginConfiguration)
        /// A program that the relay is a part of sets snapshots; no file can ask for it.
        case program
        case http(HTTPOriginConfiguration)
    }

    package var name: String
    package var origin: Origin
    /// How long new streams of a group with nothing cached wait before they end UNAVAILABLE.
    package var coldTimeout = Nanoseconds.seconds(5)
    /// The authorities of `xdstp:` names that are asked of it, whoever's group asks; no other upstream has one of them.
    package var authorities: [String] = []

    package init(
        name: String, origin: Origin, coldTimeout: Nanoseconds = .seconds(5), authorities: [String] = []
    ) {
        self.name = name
        self.origin = origin
        self.coldTimeout = coldTimeout
        self.authorities = authorities
    }
}

/// An upstream that is a control plane over gRPC.
package struct GRPCOriginConfiguration: Hashable, Sendable {
    /// The variant that is asked for.
    package enum Variant: String, Hashable, Sendable, CaseIterable { case delta, sotw }

    package var variant = Variant.delta
    /// In order of preference; never empty.
    package var servers: [EndpointAddress]
    /// Nil: plaintext.
    package var tls: ClientTLSConfiguration?
    /// Nil: the node that opened the group, as it is.
    package var node: NodeTemplate?
    package var connectTimeout = Nanoseconds.seconds(5)
    package var backoffInitial = Nanoseconds.milliseconds(500)
    package var backoffMax = Nanoseconds.seconds(30)
    package var keepalive = KeepaliveConfiguration()
}

/// `tls` of an upstream. The files existed when the configuration was read.
package struct ClientTLSConfiguration: Hashable, Sendable {
    /// Nil: the system's.
    package var ca: String?
    /// Present exactly when `privateKey` is.
    package var certificateChain: String?
    package var privateKey: String?
    /// Name to ask for and to verify; nil: the server's host.
    package var serverName: String?
}

/// An upstream that is fed over HTTP: snapshots that a back end puts, by key.
package struct HTTPOriginConfiguration: Hashable, Sendable {
    /// Where weir listens for them.
    package var address: EndpointAddress
    /// A file with the bearer tokens of those who may.
    package var tokenFile: String
    /// Nil: plaintext.
    package var tls: AdminTLSConfiguration?
    /// Keys that have a snapshot at one time.
    package var keysMax = 1_000
    /// Bytes of a request's body, and of all resources of a key.
    package var snapshotBytesMax = 16 << 20

    package init(address: EndpointAddress, tokenFile: String) {
        self.address = address
        self.tokenFile = tokenFile
    }
}

/// An upstream that is a file or folder in Envoy's own file format.
package struct FilesOriginConfiguration: Hashable, Sendable {
    /// May contain `{key}`.
    package var pathTemplate: String

    /// The path for a group. Nil for a key that would lead elsewhere than the template says: where `{key}` stands in
    /// the template, a key with an empty, `.` or `..` component or a zero byte has no path.
    package func path(forKey key: String) -> String? {
        let pieces = self.pathTemplate.pieces(around: "{key}")
        guard pieces.count > 1 else { return self.pathTemplate }
        let components = key.split(separator: "/", omittingEmptySubsequences: false)
        let isSafe = components.allSatisfy { !["", ".", ".."].contains($0) } && !key.utf8.contains(0)
        return isSafe ? pieces.joined(separator: key) : nil
    }
}

extension String {
    /// What stands before, between and after the places of `mark`.
    func pieces(around mark: String) -> [Substring] {
        var pieces: [Substring] = []
        var rest = self[...]
        while let start = rest.indices.first(where: { rest[$0...].hasPrefix(mark) }) {
            pieces.append(rest[..<start])
            rest = rest[start...].dropFirst(mark.count)
        }
        return pieces + [rest]
    }
}
