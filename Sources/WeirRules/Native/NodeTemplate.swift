package import WeirXDS

/// How the node that a group shows its upstream is made of the node that opened the group.
package struct NodeTemplate: Hashable, Sendable {
    private let id: FieldTemplate?
    private let cluster: FieldTemplate?

    /// Templates over `{key}` and the fields of the node; nil leaves id or cluster as it is.
    package init(id: String?, cluster: String?) throws(TemplateError) {
        self.id = try id.map(NodeTemplate.checked)
        self.cluster = try cluster.map(NodeTemplate.checked)
    }

    private static func checked(_ text: String) throws(TemplateError) -> FieldTemplate {
        let template = try FieldTemplate(text)
        for field in template.fields where field.name != "key" && !NodeTemplate.isOfNode(field.name) {
            let hint = RuleField.hint(for: field.name, also: ["key"])
            throw TemplateError(
                description: "\"{\(field.name)}\" is neither the key nor a field of the node"
                    + (hint.map { "; did you mean \"{\($0)}\"?" } ?? ""))
        }
        return template
    }

    private static func isOfNode(_ name: String) -> Bool { name.hasPrefix("node.") && RuleField(name) != nil }

    /// The node for the group `key`. Missing fields without a default are empty; values are written as they are.
    package func node(for key: String, openedBy node: Node) -> Node {
        node.replacing(
            id: self.id.map { NodeTemplate.render($0, key, node) },
            cluster: self.cluster.map { NodeTemplate.render($0, key, node) })
    }

    private static func render(_ template: FieldTemplate, _ key: String, _ node: Node) -> String {
        let request = RuleRequest(node: node)
        return template.parts.map { part in
            switch part {
            case .literal(let text): return text
            case .field(let field):
                if field.name == "key" { return key }
                if case .value(let value)? = RuleField(field.name)?.value(in: request), !value.isEmpty { return value }
                return field.fallback ?? ""
            }
        }.joined()
    }
}
