package import WeirBase

/// `envoy.service.discovery.v3.DiscoveryResponse` (SotW) as ranges into the bytes received.
package struct DiscoveryResponse: Sendable {
    package var versionInfo = ByteRange.empty
    /// The content of each `google.protobuf.Any`.
    package var resources: [ByteRange] = []
    package var typeURL = ByteRange.empty
    package var nonce = ByteRange.empty
    package var resourceErrors: [ByteRange] = []

    package init(decoding bytes: borrowing Span<UInt8>) throws(WireError) {
        var reader = WireReader(ByteRange(offset: 0, count: bytes.count))
        while let field = try reader.next(in: bytes) {
            switch field.number {
            case 1: self.versionInfo = try field.bytes()
            case 2: self.resources.append(try field.bytes())
            case 4: self.typeURL = try field.bytes()
            case 5: self.nonce = try field.bytes()
            case 7: self.resourceErrors.append(try field.bytes())
            default: break
            }
        }
    }
}

/// `envoy.service.discovery.v3.DeltaDiscoveryResponse` as ranges into the bytes received.
package struct DeltaDiscoveryResponse: Sendable {
    package var systemVersionInfo = ByteRange.empty
    /// The content of each `envoy.service.discovery.v3.Resource`.
    package var resources: [ByteRange] = []
    package var typeURL = ByteRange.empty
    package var nonce = ByteRange.empty
    package var removedResources: [ByteRange] = []
    package var resourceErrors: [ByteRange] = []

    package init(decoding bytes: borrowing Span<UInt8>) throws(WireError) {
        var reader = WireReader(ByteRange(offset: 0, count: bytes.count))
        while let field = try reader.next(in: bytes) {
            switch field.number {
            case 1: self.systemVersionInfo = try field.bytes()
            case 2: self.resources.append(try field.bytes())
            case 4: self.typeURL = try field.bytes()
            case 5: self.nonce = try field.bytes()
            case 6: self.removedResources.append(try field.bytes())
            case 9: self.resourceErrors.append(try field.bytes())
            default: break
            }
        }
    }
}

/// `envoy.service.discovery.v3.Resource` as ranges: the delta form of a resource, and the wrapper form in SotW.
package struct ResourceEnvelope: Sendable {
    package var name = ByteRange.empty
    package var version = ByteRange.empty
    /// The content of the `Any`; nil for a heartbeat or an unresolved alias.
    package var resource: ByteRange?
    package var aliases: [ByteRange] = []
    /// How long the client may keep it without hearing of it again; nil: for good. Always positive.
    package var ttl: Nanoseconds?
    /// Whole fields, tags included, that are neither name, version, resource nor ttl: aliases, cache_control, metadata and
    /// whatever later versions add. They travel on as they are (AGG-22).
    package var extras: [ByteRange] = []

    package init(decoding range: ByteRange, in bytes: borrowing Span<UInt8>) throws(WireError) {
        var reader = WireReader(range)
        while let field = try reader.next(in: bytes) {
            switch field.number {
            case 1: self.version = try field.bytes()
            case 2: self.resource = try field.bytes()
            case 3: self.name = try field.bytes()
            case 4:
                self.aliases.append(try field.bytes())
                self.extras.append(field.range)
            case 6: self.ttl = try ProtobufDuration.span(in: bytes, try field.bytes())
            default: self.extras.append(field.range)
            }
        }
    }
}

/// `google.protobuf.Any` as ranges.
package struct AnyEnvelope: Sendable {
    package var typeURL = ByteRange.empty
    package var value = ByteRange.empty

    package init(decoding range: ByteRange, in bytes: borrowing Span<UInt8>) throws(WireError) {
        var reader = WireReader(range)
        while let field = try reader.next(in: bytes) {
            switch field.number {
            case 1: self.typeURL = try field.bytes()
            case 2: self.value = try field.bytes()
            default: break
            }
        }
    }
}
