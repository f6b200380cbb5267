import WeirBase

/// What a client says it can do, as far as it decides what it is sent.
package enum ClientFeatures {
    private static let featureField = 10
    private static let timeToLive = "xds.config.supports-resource-ttl"
    /// The features document and the protocol document spell it differently.
    private static let wrapped = ["xds.config.resource-in-sotw", "xds.config.supports-resource-in-sotw"]

    /// Whether a SotW client with this encoded node takes resources with a time to live, which come in a wrapper: it must
    /// know both (TTL-01). A node that cannot be read knows nothing.
    package static func takesTimeToLive(node: borrowing Span<UInt8>) -> Bool {
        var knowsTTL = false
        var knowsWrapper = false
        var reader = WireReader(ByteRange(offset: 0, count: node.count))
        while let field = try? reader.next(in: node) {
            guard field.number == self.featureField, let range = try? field.bytes() else { continue }
            let feature = node.string(range)
            if feature == self.timeToLive { knowsTTL = true }
            if self.wrapped.contains(feature) { knowsWrapper = true }
        }
        return knowsTTL && knowsWrapper
    }
}
