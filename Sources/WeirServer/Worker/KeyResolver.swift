import WeirBase
import WeirConfig
import WeirEngine
import WeirRules
import WeirXDS

/// Turns a first request into a group by the configured rules.
struct KeyResolver: Sendable {
    let rules: AggregationRules
    let identity: IdentityRules
    let upstreams: [String: UpstreamConfiguration]
    private let configuration: RelayConfiguration
    private let embedding: Embedding

    init(_ configuration: RelayConfiguration, _ embedding: Embedding) {
        self.configuration = configuration
        self.embedding = embedding
        self.rules = configuration.aggregation
        self.identity = configuration.identity
        self.upstreams = Dictionary(
            configuration.upstreams.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
    }

    func resolve(_ request: KeyRequest) -> KeyResolution {
        let node: Node
        do throws(NodeError) {
            node = try Node(decoding: request.node)
        } catch {
            return .refused("the node cannot be read: \(error)")
        }
        let facts = RuleRequest(
            node: node, typeURL: request.typeURL, peerAddress: request.peer.address, peerSANs: request.peer.names,
            resourceNames: request.resourceNames)
        if let denial = self.identity.denial(of: facts) { return .denied(denial) }
        let outcome = self.embedding.outcome(of: facts, self.configuration) ?? self.rules.evaluate(facts)
        guard case .matched(let match) = outcome else {
            return .refused(outcome.refusal(of: node) ?? "no rule matched")
        }
        guard let upstream = self.upstreams[match.upstream] else {
            return .refused("rule \(match.rule) names upstream \"\(match.upstream)\", which is not configured")
        }
        let scope = self.scope(for: request.peer)
        return .group(
            key: match.key, upstream: match.upstream, coldTimeout: upstream.coldTimeout,
            identity: NodeIdentity(
                id: node.id, cluster: node.cluster, encoded: scope == .stream ? node.summary : request.node,
                agent: self.agent(of: node), isWhole: scope != .stream || node.isSummaryWhole),
            upstreamNode: upstream.node(of: match.key, openedBy: node), scope: scope)
    }

    /// Name and version of the client's program.
    private func agent(of node: Node) -> String {
        [node.userAgentName, node.userAgentVersion].filter { !$0.isEmpty }.joined(separator: "/")
    }

    private func scope(for peer: PeerIdentity) -> KeyScope {
        if self.rules.dependsOnNames { return .request }
        return self.rules.dependsOnType(peerSANs: peer.names) ? .type : .stream
    }
}

extension UpstreamConfiguration {
    /// What a group calls itself at this upstream: by the template, or as the node that opened it.
    func node(of key: String, openedBy node: Node) -> [UInt8] {
        guard case .grpc(let origin) = self.origin, let template = origin.node else { return node.raw }
        return template.node(for: key, openedBy: node).raw
    }
}
