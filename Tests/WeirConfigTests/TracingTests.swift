import Testing
import WeirBase
import WeirConfig

private let rest = """
    upstreams: {primary: {servers: ["cp:1"]}}
    aggregation: {rules: [{key: k}]}

    """

@Suite("tracing")
struct TracingTests {
    private func load(_ tracing: String, environment: [String: String] = [:]) throws -> (
        tracing: TracingConfiguration?, messages: [String]
    ) {
        let folder = try Folder(["relay.yaml": rest + "tracing: \(tracing)\n", "ca.crt": ""])
        let (configuration, diagnostics) = loadConfiguration(
            path: folder.path + "/relay.yaml", environment: environment)
        return (configuration?.tracing, diagnostics.map(\.message))
    }

    @Test("defaults and values")
    func values() throws {
        #expect(try Folder(["relay.yaml": rest]).load().configuration?.tracing == nil, "off unless it is asked for")
        let url = "http://collector:4318/v1/traces"
        #expect(try self.load("{otlp: {endpoint: \"\(url)\"}}").tracing == TracingConfiguration(endpoint: url))
        let (tracing, messages) = try self.load(
            "{otlp: {endpoint: \"https://c/t\", sample: 0.25, headers: {x-token: \"${TOKEN}\"}, ca: ca.crt, "
                + "service_name: relay, timeout: 2s}}", environment: ["TOKEN": "t"])
        #expect(messages == [])
        let full = try #require(tracing)
        #expect(full.share == 0.25 && full.serviceName == "relay" && full.timeout == .seconds(2))
        #expect(full.headers.map(\.name) == ["x-token"] && full.headers.map(\.value) == ["t"])
        #expect(full.authorities.hasSuffix("/ca.crt"))
        #expect(try self.load("{otlp: {endpoint: \"\(url)\", sample: 0}}").tracing?.share == 0)
    }

    @Test(
        "what cannot be used says what would be right",
        arguments: [
            ("{}", "otlp: this field is required"), ("{otlp: {sample: 1}}", "endpoint: this field is required"),
            ("{otlp: {endpoint: \"collector:4318\"}}", "is no collector's URL; expected one such as http://"),
            ("{otlp: {endpoint: \"http://c\"}}", "is no collector's URL"),
            ("{otlp: {endpoint: \"http://c/x y\"}}", "is no collector's URL"),
            ("{otlp: {endpoint: \"http://c/\", sample: 10}}", "expected a number from 0 to 1, such as 0.1, not"),
            ("{otlp: {endpoint: \"http://c/\", sample: some}}", "expected a number from 0 to 1"),
            ("{otlp: {endpoint: \"http://c/\", ca: ca.crt}}", "it needs an endpoint that begins with https://"),
            ("{otlp: {endpoint: \"http://c/\", headers: {\"a b\": x}}}", "\"a b\" is no name of a header"),
            ("{otlp: {endpoint: \"http://c/\", headers: {a: \"x\\ny\"}}}", "a header's value is one line of text"),
        ])
    func errors(_ text: String, _ expected: String) throws {
        let (tracing, messages) = try self.load(text)
        #expect(tracing == nil && messages.contains { $0.contains(expected) }, "\(messages)")
    }
}
