import WeirBase
import WeirRules

extension Field {
    /// Every upstream that is well described. The names of the others count as known: their errors are told already.
    func upstreams(in folder: String) -> [UpstreamConfiguration]? {
        guard let entries = self.entries() else { return nil }
        if entries.isEmpty { self.error("it needs at least one upstream") }
        var claims: [String: String] = [:]
        return entries.compactMap { name, place, field in
            if name.isEmpty { self.context.report(.error, at: place, self.path, "an upstream's name cannot be empty") }
            return field.upstream(name, in: folder, &claims)
        }
    }

    /// `claims`: the upstream of each authority so far.
    private func upstream(
        _ name: String, in folder: String, _ claims: inout [String: String]
    ) -> UpstreamConfiguration? {
        let ofServers = [
            "protocol", "servers", "tls", "node", "connect_timeout", "cold_timeout", "backoff", "keepalive",
        ]
        guard let section = self.section(ofServers + ["files", "http", "authorities"]) else { return nil }
        var coldTimeout = Nanoseconds.seconds(5)
        section.read("cold_timeout", into: &coldTimeout) { $0.duration(.timeout) }
        var authorities: [String] = []
        section.read("authorities", into: &authorities) { $0.authorities(of: name, &claims) }
        guard let (kind, field) = section.exactlyOne(of: ["servers", "files", "http"]) else { return nil }
        if kind != "servers" {
            for name in ofServers where name != "cold_timeout" && name != "servers" {
                section[name]?.error("it does not apply to an upstream of \(kind)")
            }
        }
        let origin: UpstreamConfiguration.Origin? =
            switch kind {
            case "files": field.filesOrigin(in: folder).map { .files($0) }
            case "http": field.httpOrigin(in: folder).map { .http($0) }
            default: self.grpcOrigin(section, servers: field, in: folder).map { .grpc($0) }
            }
        guard let origin else { return nil }
        return UpstreamConfiguration(name: name, origin: origin, coldTimeout: coldTimeout, authorities: authorities)
    }

    /// Authorities of `xdstp:` names; each belongs to one upstream.
    private func authorities(of upstream: String, _ claims: inout [String: String]) -> [String]? {
        var authorities: [String] = []
        for field in self.list() ?? [] {
            guard let text = field.nonEmptyText() else { continue }
            if text.contains(where: { "/?#".contains($0) }) {
                field.error("\"\(text)\" is no authority: write \"a.example\" for xdstp://a.example/...")
            } else if let other = claims[text] {
                field.error("authority \"\(text)\" belongs to upstream \"\(other)\" already")
            } else {
                claims[text] = upstream
                authorities.append(text)
            }
        }
        return authorities
    }

    private func filesOrigin(in folder: String) -> FilesOriginConfiguration? {
        guard let section = self.section(["path"]), let field = section.require("path"),
            let path = field.path(in: folder)
        else { return nil }
        let pieces = path.pieces(around: "{key}")
        if pieces.contains(where: { $0.contains("{") || $0.contains("}") }) {
            field.error("only {key} may stand in the path")
        }
        if pieces.count == 1, !exists(path) { field.warning("there is nothing at \"\(path)\" yet") }
        return FilesOriginConfiguration(pathTemplate: path)
    }

    private func grpcOrigin(_ section: Section, servers: Field, in folder: String) -> GRPCOriginConfiguration? {
        let addresses = servers.nonEmptyList()?.compactMap { $0.address() }
        var origin = GRPCOriginConfiguration(servers: addresses ?? [])
        section.read("protocol", into: &origin.variant) { $0.choice(GRPCOriginConfiguration.Variant.self) }
        section.read("tls", into: &origin.tls) { $0.clientTLS(in: folder) }
        section.read("node", into: &origin.node) { $0.nodeTemplate() }
        section.read("connect_timeout", into: &origin.connectTimeout) { $0.duration(.timeout) }
        section.read("keepalive", into: &origin.keepalive) { $0.keepalive() }
        if let field = section["backoff"], let backoff = field.section(["initial", "max"]) {
            backoff.read("initial", into: &origin.backoffInitial) { $0.duration(.timeout) }
            backoff.read("max", into: &origin.backoffMax) { $0.duration(.timeout) }
            if origin.backoffMax < origin.backoffInitial {
                let initial = durationText(origin.backoffInitial)
                field.error("max (\(durationText(origin.backoffMax))) is less than initial (\(initial))")
            }
        }
        return origin
    }

    func clientTLS(in folder: String) -> ClientTLSConfiguration? {
        guard let section = self.section(["ca", "certificate_chain", "private_key", "server_name"]) else { return nil }
        var tls = ClientTLSConfiguration()
        section.read("ca", into: &tls.ca) { $0.readableFile(in: folder) }
        section.read("certificate_chain", into: &tls.certificateChain) { $0.readableFile(in: folder) }
        section.read("private_key", into: &tls.privateKey) { $0.readableFile(in: folder) }
        section.read("server_name", into: &tls.serverName) { $0.nonEmptyText() }
        if (section["certificate_chain"] == nil) != (section["private_key"] == nil) {
            self.error("\"certificate_chain\" and \"private_key\" go together")
        }
        return tls
    }

    private func nodeTemplate() -> NodeTemplate? {
        guard let section = self.section(["id", "cluster"]) else { return nil }
        for field in [section["id"], section["cluster"]].compactMap({ $0 }) {
            guard let text = field.nonEmptyText() else { return nil }
            do { _ = try NodeTemplate(id: text, cluster: nil) } catch {
                field.error("\(error)")
                return nil
            }
        }
        return try? NodeTemplate(id: section["id"]?.text(), cluster: section["cluster"]?.text())
    }
}
