import WeirBase
import WeirConfig
import WeirXDS

/// `weir explain --admin`: the rules in force at a running relay.
func explainRemotely(
    _ options: Command.Explain, _ access: RelayAccess, environment: [String: String]
) -> CommandResult {
    var node: Node?
    if options.client == nil {
        do throws(UnreadableNode) { node = try readNodeFile(options.node) } catch { return invalid(error.diagnostics) }
    }
    do throws(RelayFailure) {
        let relay = try RelayClient(access, environment: environment)
        let who = try node.map { node throws(RelayFailure) in try nodeQuery(node) } ?? [("node", options.client)]
        let query = who + requestQuery(options)
        let answer = try relay.get("/explain", query)
        let isAccepted = (try? parseJSON(answer)).map { $0["key"]?.string != nil && $0["denied"]?.string == nil }
        let output = options.isJSON ? answer : try relay.get("/explain", query + [("format", "text")])
        let lines = String(decoding: output, as: UTF8.self).split(separator: "\n").map { printable(String($0)) }
        var result = CommandResult(output: lines.map { $0 + "\n" }.joined())
        if isAccepted != true { result.status = ExitStatus.failed }
        return result
    } catch {
        return CommandResult(errors: "weir: \(error.message)\n", status: error.status)
    }
}

private func requestQuery(_ options: Command.Explain) -> [QueryItem] {
    let lists = [("resources", options.resources), ("peer.san", options.peerSANs)]
    return [("type", options.type), ("peer.address", options.peerAddress.isEmpty ? nil : options.peerAddress)]
        + lists.map { ($0.0, $0.1.isEmpty ? nil : $0.1.joined(separator: ",")) }
}

private func nodeQuery(_ node: Node) throws(RelayFailure) -> [QueryItem] {
    let fields = [
        ("node.id", node.id), ("node.cluster", node.cluster), ("node.locality.region", node.region),
        ("node.locality.zone", node.zone), ("node.locality.sub_zone", node.subZone),
        ("node.user_agent_name", node.userAgentName), ("node.user_agent_version", node.userAgentVersion),
    ]
    var query: [QueryItem] = fields.map { ($0.0, $0.1.isEmpty ? nil : $0.1) }
    for (name, value) in node.metadata.sorted(by: { $0.key < $1.key }) {
        try append(value, at: "node.metadata.\(name)", to: &query)
    }
    return query
}

/// Texts at their paths, as the debug endpoint takes metadata. Depth is bounded by the node's own bound.
private func append(_ value: MetadataValue, at path: String, to query: inout [QueryItem]) throws(RelayFailure) {
    switch value {
    case .null, .bool, .number, .string: query.append((path, value.text))
    case .object(let fields):
        for (name, inner) in fields.sorted(by: { $0.key < $1.key }) {
            try append(inner, at: "\(path).\(name)", to: &query)
        }
    case .list:
        throw RelayFailure(
            message: "\(path) is a list, of which a running relay cannot be asked; use --config with its configuration",
            status: ExitStatus.invalid)
    }
}
