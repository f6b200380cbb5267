import WeirBase

/// `grpc.health.v1.HealthCheckResponse.ServingStatus`.
package enum ServingStatus: UInt64, Hashable, Sendable {
    case serving = 1
    case notServing = 2
    /// In answers of Watch only; Check ends NOT_FOUND.
    case serviceUnknown = 3

    /// A `HealthCheckResponse`.
    package var encoded: [UInt8] {
        var writer = WireWriter()
        writer.uint(1, self.rawValue)
        return writer.bytes
    }
}

/// The messages of `grpc.health.v1.Health` (gRPC's health checking protocol).
package enum HealthMessages {
    /// Names that can be asked about: the whole server, and each discovery service (SVC-09).
    package static let services: [String] = {
        var names = [""]
        for service in DiscoveryService.all where !names.contains(service.service) { names.append(service.service) }
        return names
    }()

    /// The service that a `HealthCheckRequest` asks about.
    package static func service(decoding bytes: borrowing Span<UInt8>) throws(WireError) -> String {
        var name = ""
        var reader = WireReader(ByteRange(offset: 0, count: bytes.count))
        while let field = try reader.next(in: bytes) {
            if field.number == 1 { name = bytes.string(try field.bytes()) }
        }
        return name
    }

    /// A `HealthListResponse` in which every service has the same status.
    package static func list(_ status: ServingStatus) -> [UInt8] {
        var writer = WireWriter()
        for service in Self.services {
            var entry = WireWriter()
            entry.string(1, service)
            entry.message(2, status.encoded)
            writer.message(1, entry.bytes)
        }
        return writer.bytes
    }
}
