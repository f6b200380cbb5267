import WeirBase
import WeirYAML

extension Field {
    /// `upstreams.NAME.http`.
    func httpOrigin(in folder: String) -> HTTPOriginConfiguration? {
        let known = ["address", "token_file", "tls", "max_keys", "max_snapshot_size"]
        guard let section = self.section(known) else { return nil }
        let address = section.require("address")?.networkListenAddress()
        // Whoever may put snapshots decides where all traffic goes, so there is no way to leave this out.
        let tokenFile = section.require("token_file")?.readableFile(in: folder)
        guard let address, let tokenFile else { return nil }
        var origin = HTTPOriginConfiguration(address: address, tokenFile: tokenFile)
        section.read("tls", into: &origin.tls) { $0.adminTLS(in: folder) }
        section.read("max_keys", into: &origin.keysMax) { $0.integer(1...1_000_000) }
        section.read("max_snapshot_size", into: &origin.snapshotBytesMax) { $0.size(1 << 10...256 << 20) }
        if !address.isLoopback, section["tls"] == nil {
            section["address"]?.warning("tokens and secrets travel to \(address) in the clear; use \"tls\"")
        }
        return origin
    }

    /// Where something that speaks HTTP listens.
    private func networkListenAddress() -> EndpointAddress? {
        guard let address = self.listenAddress() else { return nil }
        if case .network = address { return address }
        self.error("snapshots are taken on host:port only, not on a Unix socket")
        return nil
    }

    /// Reports upstreams that would listen where something else does.
    func checkAddresses(_ relay: RelayConfiguration) {
        guard self.node.mapping != nil else { return }
        var taken = [relay.admin.address: "admin.address"]
        for listener in relay.downstream.listeners { taken[listener.address] = "downstream.listeners" }
        for (name, _, field) in self.entries() ?? [] {
            guard case .http(let origin)? = relay.upstream(named: name)?.origin else { continue }
            if let other = taken[origin.address] {
                field.error("http.address \(origin.address) is taken: \(other) listens there")
            }
            taken[origin.address] = "upstreams.\(name)"
        }
    }
}
