/// What a client says to a control plane over SotW; encoded as `envoy.service.discovery.v3.DiscoveryRequest`.
public struct OutgoingRequest: Hashable, Sendable {
    /// An encoded `envoy.config.core.v3.Node`; nil on all but the first request of a stream.
    public var node: [UInt8]?
    /// The type it is about.
    public var typeURL: String
    /// The version of the last response that was accepted; empty before the first.
    public var versionInfo = ""
    /// The nonce of the newest response of the type on the stream; empty before the first.
    public var responseNonce = ""
    /// All names that are subscribed to; `*`, or nothing for types with a legacy wildcard, means all.
    public var resourceNames: [String] = []
    /// More of them, as `encode` makes fields of them.
    package var encodedNames: [UInt8] = []
    /// Why the newest response is rejected; nil: it is accepted.
    public var errorDetail: ErrorDetail?

    /// A request without names.
    public init(typeURL: String) { self.typeURL = typeURL }

    /// Names as the fields of a request: what is said again and again is encoded once.
    package static func encode(names: [String]) -> [UInt8] {
        var writer = WireWriter()
        for name in names { writer.element(3, name) }
        return writer.bytes
    }

    /// The encoded message, without gRPC prefix.
    public var encoded: [UInt8] {
        var writer = WireWriter(reserving: self.encodedNames.count + 256)
        writer.string(1, self.versionInfo)
        if let node = self.node { writer.message(2, node) }
        for name in self.resourceNames { writer.element(3, name) }
        writer.bytes.append(contentsOf: self.encodedNames)
        writer.string(4, self.typeURL)
        writer.string(5, self.responseNonce)
        if let detail = self.errorDetail { writer.message(6, detail.encoded) }
        return writer.bytes
    }
}

/// What a client says to a control plane over delta; encoded as `envoy.service.discovery.v3.DeltaDiscoveryRequest`.
public struct OutgoingDeltaRequest: Hashable, Sendable {
    /// A resource that the client holds when it comes (back).
    public struct InitialVersion: Hashable, Sendable {
        /// The resource's name.
        public var name: String
        /// The version that is held.
        public var version: String

        /// A name and the version of it that is held.
        public init(name: String, version: String) {
            self.name = name
            self.version = version
        }
    }

    /// An encoded `envoy.config.core.v3.Node`; nil on all but the first request of a stream.
    public var node: [UInt8]?
    /// The type it is about.
    public var typeURL: String
    /// Names that are subscribed to from now on; `*` means all.
    public var subscribe: [String] = []
    /// Names that are not any more.
    public var unsubscribe: [String] = []
    /// What the client holds; in the first request of the type on a stream only.
    public var initialVersions: [InitialVersion] = []
    /// The nonce of the response that is answered; empty for a request of its own accord.
    public var responseNonce = ""
    /// Why that response is rejected; nil: it is accepted.
    public var errorDetail: ErrorDetail?

    /// A request that says nothing yet.
    public init(typeURL: String) { self.typeURL = typeURL }

    /// The encoded message, without gRPC prefix.
    public var encoded: [UInt8] {
        var writer = WireWriter()
        if let node = self.node { writer.message(1, node) }
        writer.string(2, self.typeURL)
        for name in self.subscribe { writer.element(3, name) }
        for name in self.unsubscribe { writer.element(4, name) }
        for entry in self.initialVersions {
            var content = WireWriter()
            content.string(1, entry.name)
            content.string(2, entry.version)
            writer.message(5, content.bytes)
        }
        writer.string(6, self.responseNonce)
        if let detail = self.errorDetail { writer.message(7, detail.encoded) }
        return writer.bytes
    }
}
