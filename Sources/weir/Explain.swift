import WeirBase
import WeirConfig
import WeirRules
import WeirXDS

/// `weir explain`.
func explain(_ options: Command.Explain, environment: [String: String]) -> CommandResult {
    if let access = options.access { return explainRemotely(options, access, environment: environment) }
    let (loaded, diagnostics) = loadConfiguration(path: options.config, environment: environment)
    guard let configuration = loaded else { return invalid(diagnostics) }
    let node: Node
    do throws(UnreadableNode) { node = try readNodeFile(options.node) } catch { return invalid(error.diagnostics) }
    var request = RuleRequest(
        node: node, peerAddress: options.peerAddress, peerSANs: options.peerSANs, resourceNames: options.resources)
    if let type = options.type {
        guard let url = typeURL(named: type) else {
            return invalid([Diagnostic(.error, at: nil, "--type: \"\(type)\" is no type; \(typeNameHint(type))")])
        }
        request.typeURL = url
    }
    let explanation = configuration.aggregation.explain(request, identity: configuration.identity)
    var result = CommandResult(output: options.isJSON ? explanation.json + "\n" : explanation.text)
    if explanation.isAccepted { return result }
    result.status = ExitStatus.failed
    if options.isJSON {
        result.errors = explanation.denial == nil ? "weir: no rule matched\n" : "weir: denied by identity\n"
    }
    return result
}

/// Why the file of a node is of no use.
struct UnreadableNode: Error {
    var diagnostics: [Diagnostic]
}

func readNodeFile(_ path: String) throws(UnreadableNode) -> Node {
    do {
        return try readNode(readFile(path), file: path)
    } catch let error as NodeReadingError {
        throw UnreadableNode(diagnostics: error.diagnostics)
    } catch {
        throw UnreadableNode(diagnostics: [Diagnostic(.error, at: nil, "cannot read \"\(path)\": \(error)")])
    }
}

func invalid(_ diagnostics: [Diagnostic]) -> CommandResult {
    CommandResult(errors: diagnostics.map { "\($0)\n" }.joined(), status: ExitStatus.invalid)
}
