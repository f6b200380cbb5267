import WeirBase
import WeirConfig
import WeirHTTP1
import WeirLoop
import WeirRules
import WeirXDS

/// What `weir explain` says, asked over HTTP: which key a node gets, by which rule, and why not by the others.
extension AdminServer {
    private static let metadataPrefix = "node.metadata."

    func explain(_ answer: AdminAnswer) throws(AdminFault) {
        if let id = answer.query("node") {
            let others = answer.request.query.map(\.name).filter { $0.hasPrefix("node.") || $0.hasPrefix("peer.") }
            if let other = others.first {
                throw AdminFault(400, "node=\(id) is a connected client, of which \(other) is known: leave it out")
            }
            return self.explainClient(id, answer) { Self.noClient(answer, id, missing: $0) }
        }
        // What is said of an id alone may be meant for the client that has it.
        let said = answer.request.query.filter { $0.name.hasPrefix("node.") || $0.name.hasPrefix("peer.") }
        if said.count == 1, let id = answer.query("node.id") {
            return self.explainClient(id, answer) { [self] missing in self.explainNode(answer, missing: missing) }
        }
        self.explainNode(answer, missing: [])
    }

    /// By the rules in force, for a node that need not exist.
    private func explainNode(_ answer: AdminAnswer, missing: [Int]) {
        let request = RuleRequest(
            node: Self.node(answer), typeURL: answer.typeURL() ?? "", peerAddress: answer.query("peer.address") ?? "",
            peerSANs: Self.list(answer.query("peer.san")), resourceNames: Self.list(answer.query("resources")))
        let explanation = self.explanation(of: request)
        if answer.wantsText { return answer.text(200, explanation.text) }
        answer.respond(200, "application/json", Array(explanation.json.utf8) + [UInt8(ascii: "\n")])
    }

    func explanation(of request: RuleRequest) -> RuleExplanation {
        if let outcome = self.shared.embedding.outcome(of: request, self.shared.configuration) {
            return RuleExplanation(outcome: outcome, rejected: [])
        }
        return self.shared.rules.withLock { $0 }.explain(request, identity: self.shared.identity.withLock { $0 })
    }

    static func list(_ text: String?) -> [String] { (text ?? "").split(separator: ",").map(String.init) }

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
