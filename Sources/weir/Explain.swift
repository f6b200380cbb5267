import WeirBase
import WeirConfig
import WeirRules
import WeirXDS

/// `weir explain`.
func explain(_ options: Command.Explain, environment: [String: String]) -> CommandResult {
    let (loaded, diagnostics) = loadConfiguration(path: options.config, environment: environment)
    guard let configuration = loaded else { return invalid(diagnostics) }
    let node: Node
    do {
        node = try readNode(readFile(options.node), file: options.node)
    } catch let error as NodeReadingError {
        return invalid(error.diagnostics)
    } catch {
        return invalid([Diagnostic(.error, at: nil, "cannot read \"\(options.node)\": \(error)")])
    }
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

private func invalid(_ diagnostics: [Diagnostic]) -> CommandResult {
    CommandResult(errors: diagnostics.map { "\($0)\n" }.joined(), status: ExitStatus.invalid)
}
