import WeirBase
import WeirConfig
import WeirYAML

/// A text file that a person wrote. First byte `y`: only as a tree; `n`: a node; `k`: a rule file of the Go xds-relay;
/// any other: a relay.yaml. Every error has a place in the file.
func fuzzConfig(_ input: [UInt8]) throws(FuzzFinding) {
    var input = FuzzInput(input)
    let kind = input.byte()
    let text = input.rest()
    let diagnostics: [Diagnostic]
    switch kind {
    case UInt8(ascii: "y"): diagnostics = try readTree(text)
    case UInt8(ascii: "n"):
        do throws(NodeReadingError) {
            _ = try readNode(text, file: "f")
            return
        } catch {
            diagnostics = error.diagnostics
            try check(!diagnostics.isEmpty, "an error without a reason")
        }
    case UInt8(ascii: "k"):
        let (rules, reasons) = readKeyerRules(text, file: "f")
        try checkOutcome(rules != nil, reasons)
        diagnostics = reasons
    default:
        let environment = ["A": "a", "PORT": "80", "E": "", "B": "{x: y}"]
        let (configuration, reasons) = readConfiguration(text, path: "f", environment: environment)
        try checkOutcome(configuration != nil, reasons)
        diagnostics = reasons
    }
    // A byte order mark, CR, NEL, LS and PS end lines too in libyaml's count.
    let lines = text.count { [0x0A, 0x0D, 0x85, 0xA8, 0xA9].contains($0) } + 2
    for diagnostic in diagnostics {
        guard let place = diagnostic.place, place.file == "f" else { continue }
        try check(
            place.line >= 1 && place.line <= lines && place.column >= 1, "\(diagnostic) in a file of \(lines) lines")
    }
}

private func checkOutcome(_ isThere: Bool, _ diagnostics: [Diagnostic]) throws(FuzzFinding) {
    let isWrong = diagnostics.contains { $0.severity == .error }
    try check(isThere != isWrong, "\(isThere ? "a" : "no") result with \(diagnostics)")
}

private func readTree(_ text: [UInt8]) throws(FuzzFinding) -> [Diagnostic] {
    let limits = YAMLLimits(bytes: 1 << 20, depth: 50, nodes: 10_000)
    let tree: YAMLNode
    do { tree = try parseYAML(text, file: "f", limits: limits) } catch {
        try check(!error.diagnostics.isEmpty, "an error without a reason")
        return error.diagnostics
    }
    let json = jsonText(of: tree)
    // libyaml folds what it takes for line breaks, and refuses control characters, which JSON may both have in texts.
    guard json.utf8.allSatisfy({ $0 >= 0x20 && $0 < 0x7F }) else { return [] }
    guard let again = try? parseYAML(Array(json.utf8), file: "f", limits: limits) else { return [] }
    try check(jsonText(of: again) == json, "as JSON it is another tree: \(json)")
    return []
}
