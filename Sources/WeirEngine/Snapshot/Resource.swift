package import WeirBase
package import WeirHash
package import WeirXDS

/// One resource of one version: immutable, held once, shared by every worker and stream.
///
/// Its bytes are the `resources` element of a delta response, whose last field is, byte for byte, also the `resources`
/// element of a SotW response (both have field number 2). So one encoding serves both variants:
///
///     12 LEN { 0a LEN version | 1a LEN name | extras | 12 LEN any }      delta element
///                                                      12 LEN any        SotW element
///
/// A time to live is not among the bytes: what is left of it is written when a response is encoded (TTL-04).
package final class Resource: Sendable {
    package let name: String
    /// The version that delta clients see: the upstream's own, or derived from the content (XLT-05).
    package let version: String
    /// Digest of what clients see of the resource apart from name and version.
    package let hash: ContentHash
    /// Digest of name and content: what makes the versions of SotW clients of a delta upstream.
    let identity: ContentHash
    /// The delta element, tag and length included.
    package let encoded: [UInt8]
    /// Where the SotW element begins in `encoded`; equal to its count when there is no body.
    package let bareOffset: Int
    /// The content of the `Any` within `encoded`; empty when there is no body.
    package let anyRange: ByteRange
    package let aliases: [String]
    /// How long it lives; nil: for good. No part of the content: `hash` and `version` do not depend on it (TTL-07).
    package let timeToLive: TimeToLive?
    /// Whether the origin wants each new subscriber to be answered by itself (`cache_control.do_not_cache`, AGG-23).
    package let mustBeFetched: Bool
    /// For a cluster whose endpoints come by EDS: the name it asks EDS for (ORD-05).
    package let endpointsName: String?

    /// Whether there is a payload: heartbeats and unresolved aliases have none.
    package var hasBody: Bool { self.bareOffset < self.encoded.count }

    /// The delta element as a range of `encoded`.
    package var deltaElement: ByteRange { ByteRange(offset: 0, count: self.encoded.count) }
    /// The SotW element as a range of `encoded`.
    package var sotwElement: ByteRange {
        ByteRange(offset: self.bareOffset, count: self.encoded.count - self.bareOffset)
    }

    /// Builds a resource from the content of its `Any` (nil: no body) and the extra envelope fields, whole with tags.
    ///
    /// With `version` nil the version is derived from the content. The bytes are copied once, out of the message.
    package init(
        name: String, version: String?, type: XDSType, any: ByteRange?, extras: [ByteRange] = [],
        aliases: [String] = [], timeToLive: TimeToLive? = nil, in message: borrowing Span<UInt8>
    ) {
        let hash = Self.hash(any: any, extras: extras, in: message)
        let version = version ?? hash.shortHex

        var writer = WireWriter()
        let anyElement = any.map { WireWriter.size(ofField: $0.count) } ?? 0
        let content =
            (version.isEmpty ? 0 : WireWriter.size(ofField: version.utf8.count))
            + WireWriter.size(ofField: name.utf8.count) + extras.reduce(0) { $0 + $1.count } + anyElement
        writer.bytes.reserveCapacity(WireWriter.size(ofField: content))
        writer.header(2, count: content)
        writer.string(1, version)
        writer.element(3, name)
        for extra in extras { writer.append(extra, of: message) }
        let bareOffset = writer.bytes.count
        if let any = any { writer.message(2, any, of: message) }

        self.name = name
        self.version = version
        self.hash = hash
        self.identity = ContentHash(of: name).followed(by: hash)
        self.bareOffset = bareOffset
        self.anyRange = ByteRange(offset: writer.bytes.count - (any?.count ?? 0), count: any?.count ?? 0)
        self.encoded = writer.bytes
        self.aliases = aliases
        self.timeToLive = timeToLive
        self.mustBeFetched = CacheControl.forbidsCaching(extras, in: message)
        self.endpointsName = type == .cds ? EndpointsName.of(name: name, any: any, in: message) : nil
    }

    /// What `hash` is of a resource that stands in a message.
    static func hash(any: ByteRange?, extras: [ByteRange], in message: borrowing Span<UInt8>) -> ContentHash {
        var hash = any.map { ContentHash(of: message.extracting($0.offset..<$0.end)) } ?? .zero
        for extra in extras { hash = hash.followed(by: ContentHash(of: message.extracting(extra.offset..<extra.end))) }
        return hash
    }

    /// The same resource with another time to live; shares the bytes.
    package init(_ other: Resource, timeToLive: TimeToLive?) {
        self.name = other.name
        self.version = other.version
        self.hash = other.hash
        self.identity = other.identity
        self.encoded = other.encoded
        self.bareOffset = other.bareOffset
        self.anyRange = other.anyRange
        self.aliases = other.aliases
        self.timeToLive = timeToLive
        self.mustBeFetched = other.mustBeFetched
        self.endpointsName = other.endpointsName
    }

    /// Whether a message holds the same content as this resource; no copy, no digest.
    package func hasSameContent(any: ByteRange?, extras: [ByteRange], in message: borrowing Span<UInt8>) -> Bool {
        guard any?.count ?? 0 == self.anyRange.count, (any != nil) == self.hasBody else { return false }
        let encoded = self.encoded  // a span of a class's array would escape; the local shares the storage
        let mine = encoded.span
        if let any = any, !message.equals(any, mine.extracting(self.anyRange.offset..<self.anyRange.end)) {
            return false
        }
        // Extras stand right before the bare element, in the order they came.
        var end = self.bareOffset
        for extra in extras.reversed() {
            let start = end - extra.count
            guard start >= 0, message.equals(extra, mine.extracting(start..<end)) else { return false }
            end = start
        }
        return end == self.extrasOffset
    }

    private var extrasOffset: Int {
        let content =
            (self.version.isEmpty ? 0 : WireWriter.size(ofField: self.version.utf8.count))
            + WireWriter.size(ofField: self.name.utf8.count)
        return self.contentRange.offset + content
    }

    /// The content of the delta element, a whole `Resource` message, as a range of `encoded`.
    package var contentRange: ByteRange {
        let count = self.elementContentCount
        return ByteRange(offset: self.encoded.count - count, count: count)
    }

    /// The length that stands in the delta element's header: all bytes after its tag and length.
    private var elementContentCount: Int {
        for lengthBytes in 1...10 {
            let count = self.encoded.count - 1 - lengthBytes
            if count >= 0, WireWriter.size(ofVarint: count) == lengthBytes { return count }
        }
        return 0
    }
}

/// Reads the one field of a `Resource` that is addressed to caches.
enum CacheControl {
    private static let cacheControlField = 7
    private static let doNotCacheField = 1

    static func forbidsCaching(_ extras: [ByteRange], in message: borrowing Span<UInt8>) -> Bool {
        // What cannot be read here is passed on as it is, and cached.
        extras.contains { (try? self.read($0, in: message)) ?? false }
    }

    private static func read(_ extra: ByteRange, in message: borrowing Span<UInt8>) throws(WireError) -> Bool {
        var outer = WireReader(extra)
        guard let field = try outer.next(in: message), field.number == self.cacheControlField else { return false }
        var reader = WireReader(try field.bytes())
        var forbids = false
        while let field = try reader.next(in: message) {
            if field.number == self.doNotCacheField { forbids = try field.varint() != 0 }
        }
        return forbids
    }
}

/// Reads, out of a Cluster, the name it will ask EDS for. The one look weir takes into a payload on the way through.
enum EndpointsName {
    private static let clusterTypeField = 2
    private static let clusterTypeEDS: UInt64 = 3
    private static let edsClusterConfigField = 3
    private static let serviceNameField = 2

    static func of(name: String, any: ByteRange?, in message: borrowing Span<UInt8>) -> String? {
        guard let any = any else { return nil }
        // A cluster that cannot be read here is relayed all the same; it just has no endpoints to send again.
        return try? self.read(name: name, any: any, in: message)
    }

    private static func read(
        name: String, any: ByteRange, in message: borrowing Span<UInt8>
    ) throws(WireError) -> String? {
        let envelope = try AnyEnvelope(decoding: any, in: message)
        var isEDS = false
        var serviceName = ""
        var reader = WireReader(envelope.value)
        while let field = try reader.next(in: message) {
            switch field.number {
            case self.clusterTypeField: isEDS = try field.varint() == self.clusterTypeEDS
            case self.edsClusterConfigField: serviceName = try self.serviceName(in: message, try field.bytes())
            default: break
            }
        }
        guard isEDS else { return nil }
        return serviceName.isEmpty ? name : serviceName
    }

    private static func serviceName(
        in message: borrowing Span<UInt8>, _ config: ByteRange
    ) throws(WireError) -> String {
        var name = ""
        var reader = WireReader(config)
        while let field = try reader.next(in: message) {
            if field.number == self.serviceNameField { name = message.string(try field.bytes()) }
        }
        return name
    }
}
