/// What weir says to a control plane over SotW; encoded as `envoy.service.discovery.v3.DiscoveryRequest`.
package struct OutgoingRequest: Hashable, Sendable {
    /// An encoded `envoy.config.core.v3.Node`; nil on all but the first request of a stream.
    package var node: [UInt8]?
    package var typeURL: String
    package var versionInfo = ""
    package var responseNonce = ""
    package var resourceNames: [String] = []
    /// More of them, as `encode` makes fields of them.
    package var encodedNames: [UInt8] = []
    package var errorDetail: ErrorDetail?

    package init(typeURL: String) { self.typeURL = typeURL }

    /// Names as the fields of a request: what is said again and again is encoded once.
    package static func encode(names: [String]) -> [UInt8] {
        var writer = WireWriter()
        for name in names { writer.element(3, name) }
        return writer.bytes
    }

    package var encoded: [UInt8] {
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

/// What weir says to a control plane over delta; encoded as `envoy.service.discovery.v3.DeltaDiscoveryRequest`.
package struct OutgoingDeltaRequest: Hashable, Sendable {
    package struct InitialVersion: Hashable, Sendable {
        package var name: String
        package var version: String

        package init(name: String, version: String) {
            self.name = name
            self.version = version
        }
    }

    package var node: [UInt8]?
    package var typeURL: String
    package var subscribe: [String] = []
    package var unsubscribe: [String] = []
    package var initialVersions: [InitialVersion] = []
    package var responseNonce = ""
    package var errorDetail: ErrorDetail?

    package init(typeURL: String) { self.typeURL = typeURL }

    package var encoded: [UInt8] {
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
