package import WeirBase

/// `envoy.service.status.v3.ClientStatusRequest`. The matchers are left where they stand, as WeirRules reads them.
package struct ClientStatusRequest: Sendable {
    package var nodeMatchers: [ByteRange] = []
    package var excludesContents = false

    package init(decoding bytes: borrowing Span<UInt8>) throws(WireError) {
        var reader = WireReader(ByteRange(offset: 0, count: bytes.count))
        while let field = try reader.next(in: bytes) {
            switch field.number {
            case 1: self.nodeMatchers.append(try field.bytes())
            case 3: self.excludesContents = try field.varint() != 0
            default: break
            }
        }
    }
}

/// `envoy.service.status.v3.ConfigStatus`: what a management server knows of a client.
package enum ConfigStatus: UInt64, Hashable, Sendable {
    case synced = 1
    case notSent = 2
    case stale = 3
    case error = 4
}

/// `ClientConfig.GenericXdsConfig`, as a management server fills it: `client_status` is for a client's own view and stays
/// unset (SVC-01).
package struct GenericXDSConfig: Sendable {
    package var typeURL: String
    package var name: String
    package var version: String
    package var status: ConfigStatus
    /// The content of an `Any`; nil: not shown.
    package var content: [UInt8]?
    package var updated: WallTime?
    package var error: (version: String, message: String, at: WallTime)?

    package init(typeURL: String, name: String, version: String, status: ConfigStatus) {
        self.typeURL = typeURL
        self.name = name
        self.version = version
        self.status = status
    }

    package var encoded: [UInt8] {
        var writer = WireWriter(reserving: self.typeURL.utf8.count + self.name.utf8.count + 64)
        writer.string(1, self.typeURL)
        writer.string(2, self.name)
        writer.string(3, self.version)
        if let content = self.content { writer.message(4, content) }
        if let updated = self.updated { writer.message(5, Self.timestamp(updated)) }
        writer.uint(6, self.status.rawValue)
        if let error = self.error {
            var state = WireWriter()
            state.message(2, Self.timestamp(error.at))
            state.string(3, error.message)
            state.string(4, error.version)
            writer.message(8, state.bytes)
        }
        return writer.bytes
    }

    /// `google.protobuf.Timestamp`; times before 1970 do not occur.
    private static func timestamp(_ time: WallTime) -> [UInt8] {
        let nanoseconds = UInt64(max(0, time.rawValue))
        var writer = WireWriter()
        writer.uint(1, nanoseconds / 1_000_000_000)
        writer.uint(2, nanoseconds % 1_000_000_000)
        return writer.bytes
    }
}

/// A `ClientStatusResponse` in the making, client by client.
package struct ClientStatusResponseWriter: Sendable {
    private var writer = WireWriter()

    package init() {}

    package var count: Int { self.writer.bytes.count }
    package var bytes: [UInt8] { self.writer.bytes }

    /// - Parameters:
    ///   - node: the encoded node.
    ///   - scope: the key of the client's group.
    package mutating func add(node: [UInt8], scope: String, configs: [[UInt8]]) {
        var client = WireWriter(reserving: configs.reduce(node.count + 64) { $0 + $1.count + 6 })
        client.message(1, node)
        for config in configs { client.message(3, config) }
        client.string(4, scope)
        self.writer.message(1, client.bytes)
    }
}
