import WeirBase

/// `envoy.service.load_stats.v3.LoadStatsRequest`, as far as the relay looks into it: at the first one of a stream.
package enum LoadStatsRequest {
    /// The encoded node that reports; nil if there is none. Repeated fields merge, as everywhere.
    package static func node(decoding bytes: borrowing Span<UInt8>) throws(WireError) -> [UInt8]? {
        var node: [UInt8]?
        var reader = WireReader(ByteRange(offset: 0, count: bytes.count))
        while let field = try reader.next(in: bytes) {
            if field.number == 1 { node = (node ?? []) + bytes.array(try field.bytes()) }
        }
        return node
    }
}
