package import WeirBase

/// Series whose labels are known only when Prometheus asks. What they are made from bounds them: the files that the
/// configuration names, and as many keys as the operator has asked for.
package struct ScrapedSeries: Sendable {
    /// The figures of one group.
    package struct Key: Sendable {
        package var key: String
        package var streams: Int
        package var resources: Int
        package var bytes: Int

        package init(key: String, streams: Int, resources: Int, bytes: Int) {
            self.key = key
            self.streams = streams
            self.resources = resources
            self.bytes = bytes
        }
    }

    /// A certificate in use.
    package struct Certificate: Hashable, Sendable {
        /// `listener`, `upstream` or `admin`.
        package var role: String
        package var file: String
        package var expiry: WallTime

        package init(role: String, file: String, expiry: WallTime) {
            self.role = role
            self.file = file
            self.expiry = expiry
        }
    }

    package var keys: [Key] = []
    package var certificates: [Certificate] = []

    package init() {}

    /// The `limit` groups with the most streams, the larger first; of equals the first by name.
    package static func top(_ keys: [Key], limit: Int) -> [Key] {
        Array(keys.sorted { ($1.streams, $0.key) < ($0.streams, $1.key) }.prefix(limit))
    }

    func render(into bytes: inout [UInt8]) {
        if !self.certificates.isEmpty {
            var expiry = MetricFamily(
                "weir_certificate_expiry_timestamp_seconds", .gauge,
                help: "When a certificate in use ends to be valid, in seconds since the Unix epoch.")
            for certificate in self.certificates {
                expiry.gauge(["role": certificate.role, "file": certificate.file])
                    .set(certificate.expiry.rawValue / 1_000_000_000)
            }
            Exposition.append(expiry, to: &bytes)
        }
        guard !self.keys.isEmpty else { return }
        self.render("weir_key_streams", "Streams of the groups with the most of them.", \.streams, into: &bytes)
        self.render("weir_key_resources", "Resources held of these groups.", \.resources, into: &bytes)
        self.render("weir_key_bytes", "Bytes of the resources held of these groups.", \.bytes, into: &bytes)
    }

    private func render(_ name: String, _ help: String, _ figure: KeyPath<Key, Int>, into bytes: inout [UInt8]) {
        var family = MetricFamily(name, .gauge, help: help)
        for key in self.keys { family.gauge(["key": key.key]).set(Int64(key[keyPath: figure])) }
        Exposition.append(family, to: &bytes)
    }
}
