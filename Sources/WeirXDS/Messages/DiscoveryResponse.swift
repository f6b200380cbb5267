public import WeirBase

/// `envoy.service.discovery.v3.DiscoveryResponse` (SotW) as ranges into the bytes received.
public struct DiscoveryResponse: Sendable {
    /// The version of the whole type.
    public var versionInfo = ByteRange.empty
    /// The content of each `google.protobuf.Any`.
    public var resources: [ByteRange] = []
    /// The type of all resources.
    public var typeURL = ByteRange.empty
    /// What the answer to it must repeat.
    public var nonce = ByteRange.empty
    /// The content of each ``ResourceError``.
    public var resourceErrors: [ByteRange] = []

    /// Reads a message; unknown fields are passed over.
    public init(decoding bytes: borrowing Span<UInt8>) throws(WireError) {
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
public struct DeltaDiscoveryResponse: Sendable {
    /// The version of the whole type, for people; may be empty.
    public var systemVersionInfo = ByteRange.empty
    /// The content of each `envoy.service.discovery.v3.Resource`.
    public var resources: [ByteRange] = []
    /// The type of all resources.
    public var typeURL = ByteRange.empty
    /// What the answer to it must repeat.
    public var nonce = ByteRange.empty
    /// Names that are gone, or do not exist.
    public var removedResources: [ByteRange] = []
    /// The content of each ``ResourceError``.
    public var resourceErrors: [ByteRange] = []

    /// Reads a message; unknown fields are passed over.
    public init(decoding bytes: borrowing Span<UInt8>) throws(WireError) {
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
public struct ResourceEnvelope: Sendable {
    /// The resource's name.
    public var name = ByteRange.empty
    /// The resource's version.
    public var version = ByteRange.empty
    /// The content of the `Any`; nil for a heartbeat or an unresolved alias.
    public var resource: ByteRange?
    /// Other names under which it may have been asked for.
    public var aliases: [ByteRange] = []
    package var ttl: Nanoseconds?
    /// How long the client may keep it without hearing of it again; nil: for good. Always positive.
    public var timeToLive: Duration? { self.ttl.map { .nanoseconds($0.rawValue) } }
    /// Whole fields, tags included, that are neither name, version, resource nor ttl: aliases, cache_control, metadata and
    /// whatever later versions add. They travel on as they are (AGG-22).
    public var extras: [ByteRange] = []

    /// Reads the message that stands at `range`.
    public init(decoding range: ByteRange, in bytes: borrowing Span<UInt8>) throws(WireError) {
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
public struct AnyEnvelope: Sendable {
    /// The type of the message inside.
    public var typeURL = ByteRange.empty
    /// The encoded message inside.
    public var value = ByteRange.empty

    /// Reads the message that stands at `range`.
    public init(decoding range: ByteRange, in bytes: borrowing Span<UInt8>) throws(WireError) {
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
