import WeirBase
import WeirXDS

/// `/openapi.json`: the debug endpoint described for programs, made of the table of routes that requests are held against.
enum OpenAPI {
    static let document: [UInt8] = {
        var json = JSONWriter()
        json.object {
            $0.field("openapi", "3.1.0")
            $0.object("info") {
                $0.field("title", "weir's debug endpoint")
                $0.field("version", weirVersion)
                $0.field("description", "GET only looks; what changes something is POST. Errors are JSON, too.")
            }
            $0.object("paths") { Self.writePaths(to: &$0) }
            $0.object("components") {
                $0.field("schemas", raw: Array(OpenAPISchemas.json.utf8))
                $0.object("securitySchemes") {
                    $0.object("token") {
                        $0.field("type", "http")
                        $0.field("scheme", "bearer")
                        $0.field("description", "Where admin.token_file is set: one of its tokens.")
                    }
                }
            }
        }
        return json.bytes + [UInt8(ascii: "\n")]
    }()

    private static func writePaths(to json: inout JSONWriter) {
        var paths: [String] = []
        for route in AdminRoute.all where !paths.contains(route.path) { paths.append(route.path) }
        for path in paths {
            json.object(path) { item in
                for route in AdminRoute.all where route.path == path {
                    item.object(route.method.lowercased()) { Self.write(route, to: &$0) }
                    guard route.method == "GET" else { continue }
                    item.object("head") { Self.write(route, isHead: true, to: &$0) }
                }
            }
        }
    }

    private static func write(_ route: AdminRoute, isHead: Bool = false, to json: inout JSONWriter) {
        let name = (isHead ? "head" : route.method.lowercased()) + route.path
        json.field("operationId", String(name.map { $0.isLetter || $0.isNumber ? $0 : "_" }))
        json.field("summary", isHead ? "The same without the body." : route.about)
        if !route.freePrefixes.isEmpty {
            let names = route.freePrefixes.map { "`\($0)PATH`" }.joined(separator: ", ")
            json.field("description", "Takes parameters \(names) besides, where dots in PATH descend.")
        }
        if !route.parameters.isEmpty {
            json.array("parameters") { list in for parameter in route.parameters { Self.write(parameter, to: &list) } }
        }
        json.object("responses") { responses in
            responses.object("200") { Self.writeContent(route, isHead, to: &$0) }
            for (status, about) in route.errors + Self.errors {
                responses.object(String(status)) {
                    $0.field("description", about)
                    // A probe's answer has the same shape when it fails.
                    let isProbe = status == 503 && ["/ready", "/live"].contains(route.path)
                    Self.writeJSON(isProbe ? route : nil, isProbe ? route.schema : nil, isHead, to: &$0)
                }
            }
            if route.method == "GET" {
                responses.object("304") { $0.field("description", "It is what If-None-Match names.") }
            }
        }
    }

    /// What anything may be answered with.
    private static let errors = [
        (400, "The query cannot be used: why."), (401, "A token is missing."), (413, "The body is too large."),
    ]

    private static func writeContent(_ route: AdminRoute, _ isHead: Bool, to json: inout JSONWriter) {
        json.field("description", route.about)
        guard let schema = route.schema else {
            guard !isHead else { return }
            return json.object("content") { content in
                content.object(route.contentType) { $0.object("schema") { $0.field("type", "string") } }
            }
        }
        Self.writeJSON(route, schema, isHead, to: &json)
    }

    /// JSON, and for people text where there is such a form. Without a schema it is an error.
    private static func writeJSON(_ route: AdminRoute?, _ schema: String?, _ isHead: Bool, to json: inout JSONWriter) {
        guard !isHead else { return }
        json.object("content") { content in
            content.object("application/json") {
                $0.object("schema") { $0.field("$ref", "#/components/schemas/\(schema ?? "Error")") }
            }
            guard route?.hasText == true else { return }
            content.object("text/plain; charset=utf-8") { $0.object("schema") { $0.field("type", "string") } }
        }
    }

    private static func write(_ parameter: AdminParameter, to list: inout JSONWriter) {
        list.object {
            $0.field("name", parameter.name)
            $0.field("in", "query")
            $0.field("required", parameter.isRequired)
            $0.field("description", parameter.about)
            // An empty value is none.
            let empty = parameter.isRequired ? "" : "|"
            $0.object("schema") { schema in
                switch parameter.kind {
                case .text:
                    schema.field("type", "string")
                    if parameter.isRequired { schema.field("minLength", 1) }
                case .type:
                    schema.field("type", "string")
                    let names = XDSType.known.compactMap(\.shortName).joined(separator: "|")
                    schema.field("pattern", "^(\(empty)\(names)|[^/]+/.*[^/])$")
                    schema.field("examples", ["cds", "type.googleapis.com/envoy.config.cluster.v3.Cluster"])
                case .limit:
                    schema.array("anyOf") {
                        $0.object {
                            $0.field("type", "integer")
                            $0.field("minimum", 1)
                            $0.field("maximum", AdminParameter.limitMax)
                        }
                        $0.object { $0.field("const", "") }
                    }
                case .place:
                    schema.field("type", "string")
                    schema.field("pattern", "^(\(empty)[0-9]{1,9}\\.[0-9]{1,9})$")
                case .choice(let choices):
                    schema.field("type", "string")
                    schema.field("enum", choices + (parameter.isRequired ? [] : [""]))
                }
            }
        }
    }
}
