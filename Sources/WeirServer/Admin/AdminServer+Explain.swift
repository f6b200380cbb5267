import WeirBase
import WeirConfig
import WeirHTTP1
import WeirLoop
import WeirRules
import WeirXDS

/// What `weir explain` says, asked over HTTP: which key a node gets, by which rule, and why not by the others.
extension AdminServer {
    private static let metadataPrefix = "node.metadata."
    private static let fields = [
        "node.id", "node.cluster", "node.locality.region", "node.locality.zone", "node.locality.sub_zone",
        "node.user_agent_name", "node.user_agent_version", "peer.address", "peer.san", "type", "resources", "format",
    ]

    func explain(_ answer: AdminAnswer) {
        for (name, _) in answer.request.query where !Self.fields.contains(name) && !name.hasPrefix(Self.metadataPrefix)
        {
            let hint = nearestName(to: name, among: Self.fields).map { "; did you mean \($0)?" } ?? ""
            return answer.error(400, "/explain has no field \(name)\(hint)")
        }
        let type = answer.query("type").map { typeURL(named: $0) ?? $0 } ?? ""
        let request = RuleRequest(
            node: Self.node(answer), typeURL: type, peerAddress: answer.query("peer.address") ?? "",
            peerSANs: Self.list(answer.query("peer.san")), resourceNames: Self.list(answer.query("resources")))
        let explanation = self.shared.rules.withLock { $0 }
            .explain(request, identity: self.shared.identity.withLock { $0 })
        if answer.wantsText { return answer.text(200, explanation.text) }
        answer.respond(200, "application/json", Array(explanation.json.utf8))
    }

    private static func list(_ text: String?) -> [String] { (text ?? "").split(separator: ",").map(String.init) }

    private static func node(_ answer: AdminAnswer) -> Node {
        var metadata: [String: MetadataValue] = [:]
        for (name, value) in answer.request.query where name.hasPrefix(Self.metadataPrefix) {
            let path = name.dropFirst(Self.metadataPrefix.count).split(separator: ".").map(String.init)
            Self.set(value, at: path[...], in: &metadata)
        }
        return Node(
            id: answer.query("node.id") ?? "", cluster: answer.query("node.cluster") ?? "",
            metadata: metadata.isEmpty ? nil : metadata, region: answer.query("node.locality.region") ?? "",
            zone: answer.query("node.locality.zone") ?? "", subZone: answer.query("node.locality.sub_zone") ?? "",
            userAgentName: answer.query("node.user_agent_name") ?? "",
            userAgentVersion: answer.query("node.user_agent_version") ?? "")
    }

    /// Dots descend, as in rules.
    private static func set(_ value: String, at path: ArraySlice<String>, in object: inout [String: MetadataValue]) {
        guard let first = path.first else { return }
        guard path.count > 1 else {
            object[first] = .string(value)
            return
        }
        var inner: [String: MetadataValue] = [:]
        if case .object(let existing)? = object[first] { inner = existing }
        Self.set(value, at: path.dropFirst(), in: &inner)
        object[first] = .object(inner)
    }
}
