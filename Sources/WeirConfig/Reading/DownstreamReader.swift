import WeirBase
import WeirRules

extension Field {
    func downstream(in folder: String) -> DownstreamConfiguration? {
        let known = [
            "listeners", "limits", "keepalive", "max_connection_age", "drain_timeout", "health", "client_status",
            "trust_irv_for_named",
        ]
        guard let section = self.section(known) else { return nil }
        var downstream = DownstreamConfiguration()
        section.read("listeners", into: &downstream.listeners) { $0.listeners(in: folder) }
        section.read("limits", into: &downstream.limits) { $0.limits() }
        section.read("keepalive", into: &downstream.keepalive) { $0.keepalive() }
        section.read("max_connection_age", into: &downstream.connectionAgeMax) { $0.duration(.period, orZero: true) }
        section.read("drain_timeout", into: &downstream.drainTimeout) { $0.duration(.timeout, orZero: true) }
        section.read("trust_irv_for_named", into: &downstream.trustsVersionsOfNames) { $0.flag() }
        section.read("client_status", into: &downstream.clientStatus) { $0.clientStatus(downstream.listeners) }
        section.read("health", into: &downstream.health) { $0.health() }
        return downstream
    }

    private func clientStatus(_ listeners: [ListenerConfiguration]) -> ClientStatusConfiguration? {
        guard let section = self.section(["allowed_sans"]) else { return nil }
        var status = ClientStatusConfiguration()
        section.read("allowed_sans", into: &status.allowedSANs) { $0.sanPatterns() }
        if let names = section["allowed_sans"], !listeners.contains(where: { $0.tls?.clientCA != nil }) {
            names.error("it needs a listener with \"tls.client_ca\": without it no client has a certificate to go by")
        }
        return status
    }

    private func health() -> HealthConfiguration? {
        guard let section = self.section(["cold_start"]) else { return nil }
        var health = HealthConfiguration()
        section.read("cold_start", into: &health.coldStart) { $0.choice(HealthConfiguration.ColdStart.self) }
        return health
    }

    private func listeners(in folder: String) -> [ListenerConfiguration]? {
        guard let fields = self.nonEmptyList() else { return nil }
        var listeners: [ListenerConfiguration] = []
        for field in fields {
            guard let listener = field.listener(in: folder) else { continue }
            if listeners.contains(where: { $0.address == listener.address }) {
                field.error("the address \(listener.address) is that of an earlier listener")
            }
            listeners.append(listener)
        }
        return listeners
    }

    private func listener(in folder: String) -> ListenerConfiguration? {
        guard let section = self.section(["address", "tls"]) else { return nil }
        var listener = DownstreamConfiguration.defaultListener
        section.read("tls", into: &listener.tls) { $0.serverTLS(in: folder) }
        if let field = section["address"] {
            guard let address = field.listenAddress() else { return nil }
            listener.address = address
        }
        return listener
    }

    private func serverTLS(in folder: String) -> ServerTLSConfiguration? {
        let known = ["certificate_chain", "private_key", "client_ca", "allowed_sans", "minimum_version"]
        guard let section = self.section(known) else { return nil }
        let chain = section.require("certificate_chain")?.readableFile(in: folder)
        let key = section.require("private_key")?.readableFile(in: folder)
        var tls = ServerTLSConfiguration(certificateChain: chain ?? "", privateKey: key ?? "")
        section.read("client_ca", into: &tls.clientCA) { $0.readableFile(in: folder) }
        section.read("allowed_sans", into: &tls.allowedSANs) { $0.sanPatterns() }
        section.read("minimum_version", into: &tls.minimumVersion) { $0.choice(ServerTLSConfiguration.Version.self) }
        if let names = section["allowed_sans"], section["client_ca"] == nil {
            names.error("it needs \"client_ca\": without it no client certificate is asked for")
        }
        return tls
    }

    private func sanPatterns() -> [SANPattern]? {
        self.nonEmptyList()?.compactMap { field in
            guard let text = field.nonEmptyText() else { return nil }
            do {
                return try SANPattern(text)
            } catch {
                field.error("\"\(text)\" is not a usable pattern: \(error)")
                return nil
            }
        }
    }

    private func limits() -> DownstreamLimits? {
        let known = [
            "max_connections", "max_streams_per_connection", "max_request_size", "max_response_size",
            "max_requests_per_second", "max_connections_per_second", "max_handshakes_per_second", "admission_timeout",
            "max_memory", "first_request_timeout", "ack_timeout", "stalled_reader_timeout",
        ]
        guard let section = self.section(known) else { return nil }
        var limits = DownstreamLimits()
        section.read("max_connections", into: &limits.connectionsMax) { $0.integer(1...10_000_000) }
        section.read("max_streams_per_connection", into: &limits.streamsPerConnectionMax) { $0.integer(1...1_000_000) }
        section.read("max_request_size", into: &limits.requestBytesMax) { $0.size(1 << 10...1 << 30) }
        section.read("max_response_size", into: &limits.responseBytesMax) { $0.size(1 << 10...1 << 30) }
        section.read("max_requests_per_second", into: &limits.requestsPerSecondMax) { $0.integer(0...1_000_000) }
        section.read("max_connections_per_second", into: &limits.connectionsPerSecondMax) { $0.integer(0...1_000_000) }
        section.read("max_handshakes_per_second", into: &limits.handshakesPerSecondMax) { $0.integer(0...1_000_000) }
        section.read("admission_timeout", into: &limits.admissionTimeout) { $0.duration(.timeout, orZero: true) }
        section.read("max_memory", into: &limits.memoryMax) { $0.size(1 << 20...1 << 50, orZero: true) }
        section.read("stalled_reader_timeout", into: &limits.stalledReaderTimeout) {
            $0.duration(.seconds(1)...ClosedRange.timeout.upperBound, orZero: true)
        }
        section.read("first_request_timeout", into: &limits.firstRequestTimeout) { $0.duration(.timeout) }
        section.read("ack_timeout", into: &limits.ackTimeout) { $0.duration(.timeout) }
        return limits
    }
}
