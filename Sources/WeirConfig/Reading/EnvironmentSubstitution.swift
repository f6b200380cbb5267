import WeirBase
import WeirYAML

/// Puts values of the environment in the place of `${NAME}` and `${NAME:-default}` in every scalar (not in keys).
///
/// `$${` stands for a literal `${`; every other dollar is a dollar. A plain scalar is resolved after the substitution, so
/// that `${PORT}` can be a number. A value with a substitution in it has no type of its own: it is whatever the field asks
/// for, quotes or not (inside `{…}` YAML wants quotes around `${…}`).
struct EnvironmentSubstitution {
    let environment: [String: String]
    let context: ReadingContext

    func apply(to node: YAMLNode, path: String = "") -> YAMLNode {
        var node = node
        switch node.content {
        case .scalar(var scalar):
            guard scalar.text.contains("$") else { return node }
            var problems: [String] = []
            scalar.text = self.substituted(scalar.text, &problems)
            for problem in problems { self.context.report(.error, at: node.place, path, problem) }
            self.context.markSubstituted(node.place)
            if !problems.isEmpty { self.context.settle(node.place) }
            node.content = .scalar(scalar)
        case .sequence(let elements):
            node.content = .sequence(
                elements.enumerated().map { self.apply(to: $1, path: "\(path)[\($0)]") })
        case .mapping(let entries):
            node.content = .mapping(
                entries.map { entry in
                    var entry = entry
                    entry.value = self.apply(
                        to: entry.value, path: path.isEmpty ? entry.key : "\(path).\(entry.key)")
                    return entry
                })
        }
        return node
    }

    private func substituted(_ text: String, _ problems: inout [String]) -> String {
        var result = ""
        var rest = text[...]
        while let dollar = rest.firstIndex(of: "$") {
            result += rest[..<dollar]
            rest = rest[dollar...]
            if rest.hasPrefix("$${") {
                result += "${"
                rest = rest.dropFirst(3)
            } else if rest.hasPrefix("${") {
                guard let close = rest.firstIndex(of: "}") else {
                    problems.append("\"${\" without its \"}\"; write \"$${\" for the text itself")
                    return result + rest
                }
                result += self.value(of: rest[..<close].dropFirst(2), &problems)
                rest = rest[close...].dropFirst()
            } else {
                result += "$"
                rest = rest.dropFirst()
            }
        }
        return result + rest
    }

    private func value(of reference: Substring, _ problems: inout [String]) -> String {
        let name = reference.prefix { $0 == "_" || $0.isASCII && ($0.isLetter || $0.isNumber) }
        let rest = reference[name.endIndex...]
        guard !name.isEmpty, name.first?.isNumber == false, rest.isEmpty || rest.hasPrefix(":-") else {
            problems.append(
                "\"${\(reference)}\" is no ${NAME} or ${NAME:-default}; write \"$${\" for the text itself")
            return ""
        }
        if let value = self.environment[String(name)], !(value.isEmpty && !rest.isEmpty) { return value }
        guard rest.isEmpty else { return String(rest.dropFirst(2)) }
        problems.append("the environment variable \(name) is not set, and ${\(name)} gives no default")
        return ""
    }
}
