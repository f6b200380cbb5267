import WeirBase

extension Field {
    func admin(in folder: String) -> AdminConfiguration? {
        let known = ["address", "token_file", "tls", "metrics_keys", "history"]
        guard let section = self.section(known) else { return nil }
        var admin = AdminConfiguration()
        section.read("address", into: &admin.address) { field in
            guard let address = field.listenAddress() else { return nil }
            if case .network = address { return address }
            field.error("the debug endpoint listens on host:port only, not on a Unix socket")
            return nil
        }
        section.read("token_file", into: &admin.tokenFile) { $0.readableFile(in: folder) }
        section.read("tls", into: &admin.tls) { $0.adminTLS(in: folder) }
        section.read("metrics_keys", into: &admin.metricsKeys) { $0.integer(0...1_000) }
        section.read("history", into: &admin.history) { $0.history() }
        self.warnOfOpenDoor(admin, section)
        return admin
    }

    private func history() -> HistoryConfiguration? {
        guard let section = self.section(["pushes", "memory"]) else { return nil }
        var history = HistoryConfiguration()
        section.read("pushes", into: &history.pushes) { $0.integer(0...10_000) }
        section.read("memory", into: &history.bytes) { $0.size(1 << 20...1 << 40) }
        return history
    }

    func adminTLS(in folder: String) -> AdminTLSConfiguration? {
        guard let section = self.section(["certificate_chain", "private_key"]) else { return nil }
        let chain = section.require("certificate_chain")?.readableFile(in: folder)
        let key = section.require("private_key")?.readableFile(in: folder)
        return AdminTLSConfiguration(certificateChain: chain ?? "", privateKey: key ?? "")
    }

    private func warnOfOpenDoor(_ admin: AdminConfiguration, _ section: Section) {
        guard let address = section["address"], !admin.address.isLoopback else { return }
        if section["token_file"] == nil {
            address.warning(
                "whoever reaches \(admin.address) can read every group's resources and drain the relay; "
                    + "use 127.0.0.1, or \"admin.token_file\" and \"admin.tls\"")
        } else if section["tls"] == nil {
            address.warning("tokens travel to \(admin.address) in the clear; use \"admin.tls\"")
        }
    }
}
