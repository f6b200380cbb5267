import Glibc
import Testing
import WeirBase
import WeirRules
import WeirXDS
import WeirYAML

@testable import WeirConfig

/// A folder of files for one test, gone when the test is.
final class Folder {
    let path: String

    init(_ files: [String: String]) throws {
        self.path = "/tmp/weir-config-test-\(getpid())-\(UInt64.random(in: 0 ... .max))"
        try #require(unsafe mkdir(self.path, 0o700) == 0)
        for (name, text) in files { try self.write(name, text) }
    }

    deinit {
        for name in self.names { _ = unsafe unlink("\(self.path)/\(name)") }
        _ = unsafe rmdir(self.path)
    }

    private var names: [String] = []

    private func write(_ name: String, _ text: String) throws {
        let descriptor = unsafe open("\(self.path)/\(name)", O_CREAT | O_WRONLY, 0o600)
        try #require(descriptor >= 0)
        defer { close(descriptor) }
        let bytes = Array(text.utf8)
        try #require(unsafe Glibc.write(descriptor, bytes, bytes.count) == bytes.count)
        self.names.append(name)
    }

    func load(_ environment: [String: String] = [:]) -> (configuration: RelayConfiguration?, messages: [String]) {
        let (configuration, diagnostics) = loadConfiguration(
            path: "\(self.path)/relay.yaml", environment: environment)
        return (configuration, diagnostics.map { $0.description.replacing(self.path + "/", with: "") })
    }
}

private let rest = """
    upstreams: {primary: {servers: ["cp:18000"]}}
    aggregation: {rules: [{key: "{node.cluster}"}]}

    """

@Suite("Loading a configuration")
struct LoadingTests {
    @Test("every field of the documented file reaches the configuration")
    func everyField() throws {
        let text = """
            downstream:
              listeners:
                - address: 0.0.0.0:18000
                  tls:
                    certificate_chain: server.crt
                    private_key: server.key
                    client_ca: ca.crt
                    allowed_sans: ["spiffe://prod/ns/*/sa/envoy"]
                    minimum_version: TLSv1.3
                - address: "[::1]:18001"
                - address: unix:///run/weir.sock
              limits: {max_connections: 1, max_streams_per_connection: 2, max_request_size: 3KiB, max_response_size: 4MiB,
                       max_requests_per_second: 5, first_request_timeout: 6s, ack_timeout: 7ms,
                       max_connections_per_second: 11, max_handshakes_per_second: 12, admission_timeout: 0s,
                       max_memory: 1GiB, stalled_reader_timeout: 13s}
              keepalive: {interval: 8s, timeout: 9s}
              max_connection_age: 0s
              drain_timeout: 1h
              trust_irv_for_named: false
            upstreams:
              primary:
                protocol: sotw
                servers: ["cp-1:18000", "cp-2:18000"]
                tls: {ca: ca.crt, certificate_chain: server.crt, private_key: server.key, server_name: cp}
                node: {id: "weir/{key}", cluster: "{node.cluster}"}
                connect_timeout: 1s
                cold_timeout: 2s
                backoff: {initial: 100ms, max: 3s}
                keepalive: {interval: 0s, timeout: 4s}
                authorities: [a.example, "b.example:1"]
              demo:
                files: {path: "res/{key}"}
                authorities: [c.example]
                cold_timeout: 1m30s
            aggregation:
              rules:
                - name: edge
                  match:
                    node.cluster: "edge-(?<env>[a-z]+)"
                    node.metadata.port: 8080
                    type: [cds, "type.googleapis.com/x.Y"]
                  key: "edge/{env}"
                  upstream: demo
                - key: "{node.cluster}"
            cache: {linger: 1m, max_groups: 7}
            guards: {empty_push: allow, empty_push_min: 3, shrink_percent: 50, history: 7}
            admin: {address: 127.0.0.1:1}
            log: {level: debug, format: json}
            workers: 3
            """
        let folder = try Folder(["relay.yaml": text, "server.crt": "", "server.key": "", "ca.crt": ""])
        let (loaded, messages) = folder.load()
        #expect(messages == [])
        let configuration = try #require(loaded)
        let downstream = configuration.downstream
        #expect(
            downstream.listeners.map(\.address.description) == [
                "0.0.0.0:18000", "[::1]:18001", "unix:///run/weir.sock",
            ])
        let tls = try #require(downstream.listeners[0].tls)
        #expect(tls.certificateChain == folder.path + "/server.crt" && tls.privateKey == folder.path + "/server.key")
        #expect(tls.clientCA == folder.path + "/ca.crt" && tls.minimumVersion == .tls13)
        #expect(tls.allowedSANs.map(\.text) == ["spiffe://prod/ns/*/sa/envoy"])
        #expect(
            downstream.limits
                == DownstreamLimits(
                    connectionsMax: 1, streamsPerConnectionMax: 2, requestBytesMax: 3_072, responseBytesMax: 4 << 20,
                    requestsPerSecondMax: 5, connectionsPerSecondMax: 11, handshakesPerSecondMax: 12,
                    admissionTimeout: .zero,
                    memoryMax: 1 << 30, stalledReaderTimeout: .seconds(13), firstRequestTimeout: .seconds(6),
                    ackTimeout: .milliseconds(7)))
        #expect(downstream.keepalive == KeepaliveConfiguration(interval: .seconds(8), timeout: .seconds(9)))
        #expect(downstream.connectionAgeMax == .zero && downstream.drainTimeout == .seconds(3_600))
        #expect(!downstream.trustsVersionsOfNames)
        guard case .grpc(let origin)? = configuration.upstream(named: "primary")?.origin else {
            Issue.record("no gRPC origin")
            return
        }
        #expect(origin.variant == .sotw && origin.servers.map(\.description) == ["cp-1:18000", "cp-2:18000"])
        #expect(origin.tls?.serverName == "cp" && origin.connectTimeout == .seconds(1))
        #expect(origin.backoffInitial == .milliseconds(100) && origin.backoffMax == .seconds(3))
        #expect(origin.keepalive.interval == .zero)
        #expect(origin.node?.node(for: "k", openedBy: Node(id: "n", cluster: "c")).id == "weir/k")
        let demo = try #require(configuration.upstream(named: "demo"))
        #expect(demo.origin == .files(FilesOriginConfiguration(pathTemplate: folder.path + "/res/{key}")))
        #expect(demo.coldTimeout == .seconds(90))
        #expect(
            configuration.upstreamsByAuthority
                == ["a.example": "primary", "b.example:1": "primary", "c.example": "demo"])
        #expect(configuration.cache == CacheConfiguration(linger: .seconds(60), groupsMax: 7, store: nil))
        #expect(
            configuration.guards
                == GuardConfiguration(emptyPush: .allow, emptyPushMin: 3, shrinkPercent: 50, history: 7))
        #expect(configuration.log == LogConfiguration(level: .debug, format: .json) && configuration.workers == 3)
        let node = Node(id: "n", cluster: "edge-prod", metadata: ["port": .number(8080)])
        let match = RuleMatch(
            key: "edge/prod", rule: "edge", upstream: "demo", captures: [RuleCapture(name: "env", value: "prod")])
        let outcome = configuration.aggregation.evaluate(RuleRequest(node: node, typeURL: XDSType.cds.typeURL))
        #expect(outcome == .matched(match))
    }

    @Test("values come from the environment, typed after the substitution")
    func environment() throws {
        let text = """
            workers: ${WORKERS}
            downstream: {listeners: [{address: "${HOST:-127.0.0.1}:${PORT}"}], limits: {max_connections: "${EMPTY:-9}"}}
            upstreams: {primary: {servers: ["$${HOST}:1", "${NAME}-${PORT}$:2"], tls: {server_name: "${PORT}"}}}
            aggregation: {rules: [{match: {node.id: "a$"}, key: "${KEY}/{node.cluster}"}]}
            """
        let folder = try Folder(["relay.yaml": text])
        let (loaded, messages) = folder.load([
            "WORKERS": "4", "PORT": "18000", "HOST": "10.0.0.1", "NAME": "h", "KEY": "{node.id}", "EMPTY": "",
        ])
        #expect(messages.isEmpty)
        let configuration = try #require(loaded)
        #expect(configuration.workers == 4 && configuration.downstream.limits.connectionsMax == 9)
        #expect(configuration.downstream.listeners[0].address.description == "10.0.0.1:18000")
        guard case .grpc(let origin) = configuration.upstreams[0].origin else {
            Issue.record("no gRPC origin")
            return
        }
        #expect(origin.servers.map(\.description) == ["${HOST}:1", "h-18000$:2"])
        #expect(origin.tls?.serverName == "18000")
        let outcome = configuration.aggregation.evaluate(RuleRequest(node: Node(id: "a", cluster: "b")))
        #expect(outcome == .matched(RuleMatch(key: "a/b", rule: "rules[0]", upstream: "primary")))
    }

    @Test("a rollout takes a number of streams or a percentage, and types")
    func rollout() throws {
        func load(_ rollout: String) throws -> (GuardConfiguration.Rollout?, [String]) {
            let (loaded, messages) = try Folder(["relay.yaml": rest + "guards: {rollout: {\(rollout)}}\n"]).load()
            return (loaded?.guards.rollout, messages)
        }
        #expect(try load("first: 2, wait: 1s").0?.first == .streams(2))
        #expect(try load("first: 10%").0?.first == .percent(10))
        #expect(try load("types: [cds, eds]").0?.types == [.cds, .eds])
        #expect(try load("wait: 1s").0 == GuardConfiguration.Rollout(wait: .seconds(1)))
        for (text, error) in [
            ("first: 0", "27: error: guards.rollout.first: 0 is not between 1 and 1000000"),
            ("first: 101%", "27: error: guards.rollout.first: \"101%\" is not between 1% and 100%"),
            ("types: [cdss]", "28: error: guards.rollout.types[0]: \"cdss\" is no type; did you mean \"cds\"?"),
        ] {
            #expect(try load(text).1 == ["relay.yaml:3:\(error)"])
        }
    }

    @Test("a section without a value is a section that is not there")
    func nullSections() throws {
        let (loaded, messages) = try Folder(["relay.yaml": rest + "downstream:\n  limits:\nlog: ~\n"]).load()
        #expect(messages.isEmpty && loaded?.downstream == DownstreamConfiguration())
    }

    @Test("a file that is not there is an error with its name")
    func missing() {
        let (configuration, diagnostics) = loadConfiguration(path: "/nonexistent/relay.yaml", environment: [:])
        #expect(configuration == nil)
        #expect(
            diagnostics.map(\.description) == [
                "error: cannot read \"/nonexistent/relay.yaml\": No such file or directory"
            ])
        #expect(loadConfiguration(path: "/", environment: [:]).configuration == nil)
    }

    @Test(
        "a rule file of the Go xds-relay is read as it is, in either spelling of its fields, with warnings for overlaps"
    )
    func keyer() throws {
        let keyer = """
            fragments:
              - rules:
                  - match: { request_type_match: { types: [ "type.googleapis.com/envoy.config.cluster.v3.Cluster" ] } }
                    result:
                      and_result:
                        result_predicates:
                          - string_fragment: "cds-"
                          - request_node_fragment: { cluster_action: { exact: true } }
                  - match: { requestTypeMatch: { types: [ "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment" ] } }
                    result:
                      andResult:
                        resultPredicates:
                          - stringFragment: "${1}-"
                          - resourceNamesFragment: { element: 0, action: { regexAction: {pattern: "^(.*)-.*$", replace: "${1}"} } }
                  - match: { any_match: yes }
                    result: { request_node_fragment: { locality_action: { region_action: {exact: true}, subzone_action: null } } }
              - rules:
                  - match: { request_node_match: { node_metadata_match: { path: [{key: a}, {key: b}], match: { bool_match: {} } } } }
                    result: { string_fragment: never }
            """
        let text = "upstreams: {primary: {servers: [\"cp:1\"]}}\naggregation: {xds_relay_rules: keyer.yaml}\n"
        let (loaded, messages) = try Folder(["relay.yaml": text, "keyer.yaml": keyer]).load()
        #expect(
            messages == [
                "keyer.yaml:15:9: warning: fragments[0].rules[2] and rules[0] (line 3) can match the same request; "
                    + "then both add their piece to the key"
            ])
        let rules = try #require(loaded?.aggregation)
        let node = Node(id: "n", cluster: "web", metadata: [:], region: "eu")
        let request = RuleRequest(node: node, typeURL: XDSType.eds.typeURL, resourceNames: ["service-1"])
        guard case .matched(let match) = rules.evaluate(request) else {
            Issue.record("it did not match")
            return
        }
        #expect(match.key == "${1}-service_eu" && match.upstream == "primary")
        #expect(rules.dependsOnNames && rules.dependsOnType)
    }

    @Test("what such a file says and surely does not mean is warned of, and loads")
    func keyerTraps() throws {
        let keyer = """
            fragments:
              - rules:
                  - match: { request_node_match: { id_match: { exact_match: "" } } }
                    result: { request_node_fragment: { id_action: { regex_action: { pattern: "^(.*)-", replace: "$1x" } } } }
              - rules:
                  - match: { request_node_match: { cluster_match: { regex_match: "" } } }
                    result: { request_node_fragment: { id_action: { regex_action: { pattern: "(a)", replace: "${1}$$2" } } } }
            """
        let text = "upstreams: {primary: {servers: [\"cp:1\"]}}\naggregation: {xds_relay_rules: keyer.yaml}\n"
        let (loaded, messages) = try Folder(["relay.yaml": text, "keyer.yaml": keyer]).load()
        let empty = "an empty one matches nothing, not even an empty value"
        #expect(
            messages == [
                "keyer.yaml:3:65: warning: fragments[0].rules[0].match.request_node_match.id_match.exact_match: \(empty)",
                "keyer.yaml:4:101: warning: fragments[0].rules[0].result.request_node_fragment.id_action.regex_action."
                    + "replace: the pattern has no group \"1x\", so that \"$1x\" stands for nothing; a group's number is "
                    + "kept apart from what follows by braces, as in \"${1}x\"",
                "keyer.yaml:6:70: warning: fragments[1].rules[0].match.request_node_match.cluster_match.regex_match: "
                    + empty,
            ])
        #expect(loaded != nil)
    }

    @Test("bytes of every kind are an error or a configuration, never a crash")
    func randomInput() throws {
        var generator = SeededGenerator(seed: 11)
        let words = [
            "upstreams", "aggregation", "rules", "key", "match", "servers", "downstream", "limits", "tls", ": ", "\n",
            "  ", "- ", "{", "}", "[", "]", ",", "\"", "${A}", "{node.id}", "(", "*", "5s", "1", "null", "&a ", "*a",
            "#",
        ]
        for _ in 0..<2_000 {
            let text = (0..<Int.random(in: 1..<40, using: &generator))
                .map { _ in words.randomElement(using: &generator) ?? "" }.joined()
            let context = ReadingContext()
            guard let tree = try? parseYAML(Array(text.utf8), file: "x") else { continue }
            let root = EnvironmentSubstitution(environment: [:], context: context).apply(to: tree)
            #expect(Field(path: "", node: root, context: context).relay("/nonexistent/x") != nil || context.hasErrors)
        }
    }
}

@Suite("Values of a configuration")
struct ValueTests {
    @Test(
        "durations",
        arguments: [
            ("250ms", 250_000_000), ("5s", 5_000_000_000), ("10m", 600_000_000_000), ("1h30m", 5_400_000_000_000),
            ("0", 0), ("0s", 0), ("5us", 5_000), ("5", nil), ("", nil), ("s", nil), ("-5s", nil), ("5 s", nil),
            ("5S", nil), ("1.5s", nil), ("9223372036854775807h", nil), ("2562048h", nil), ("٣s", nil), ("5s5", nil),
        ] as [(String, Int64?)])
    func durations(_ text: String, _ nanoseconds: Int64?) {
        #expect(parsedDuration(text)?.rawValue == nanoseconds)
    }

    @Test(
        "sizes",
        arguments: [
            ("64KiB", 65_536), ("32MiB", 33_554_432), ("1GiB", 1 << 30), ("7B", 7), ("7", 7), ("7KB", nil), ("", nil),
            ("KiB", nil), ("-1KiB", nil), ("9223372036854775807GiB", nil), ("1.5MiB", nil),
        ] as [(String, Int?)])
    func sizes(_ text: String, _ bytes: Int?) {
        #expect(parsedSize(text) == bytes)
    }

    @Test(
        "addresses",
        arguments: [
            ("127.0.0.1:80", "127.0.0.1:80"), ("cp-1.example:18000", "cp-1.example:18000"), ("[::1]:5", "[::1]:5"),
            ("unix:///run/x", "unix:///run/x"), ("::1:5", nil), ("[1.2.3.4]:5", nil), ("host", nil), ("host:", nil),
            (":80", nil), ("host:0", nil), ("host:65536", nil), ("host:+5", nil), ("a b:5", nil), ("unix://x", nil),
            ("unix:///", nil), ("http://h:5", nil), ("", nil),
            ("unix:///" + String(repeating: "a", count: 107), nil), ("[::1:5", nil), ("a/b:5", nil),
        ] as [(String, String?)])
    func addresses(_ text: String, _ expected: String?) {
        #expect(EndpointAddress(text)?.description == expected)
    }

    @Test(
        "a group's path stays where the template says",
        arguments: [
            ("res/{key}", "a/b", "res/a/b"), ("{key}-{key}", "a", "a-a"), ("res", "../x", "res"),
            ("res/{key}", "..", nil), ("res/{key}", "a/../../b", nil), ("res/{key}", "/etc", nil),
            ("res/{key}", "", nil), ("res/{key}", "a//b", nil), ("res/{key}", ".", nil), ("res/{key}", "a\0", nil),
            ("res/{key}", "...", "res/..."),
        ] as [(String, String, String?)])
    func filePaths(_ template: String, _ key: String, _ path: String?) {
        #expect(FilesOriginConfiguration(pathTemplate: template).path(forKey: key) == path)
    }

    @Test("paths are seen from the file's folder")
    func paths() {
        #expect(folder(of: "relay.yaml") == "." && folder(of: "a/b.yaml") == "a" && folder(of: "/b.yaml") == "/")
        #expect(resolved("x", in: ".") == "x" && resolved("x", in: "a") == "a/x" && resolved("/x", in: "a") == "/x")
        #expect(resolved("x", in: "/") == "/x")
    }

    @Test("names of types")
    func types() {
        #expect(typeURL(named: "cds") == XDSType.cds.typeURL)
        #expect(typeURL(named: "type.googleapis.com/a.B") == "type.googleapis.com/a.B")
        for name in ["xds", "", "/", "a/", "/a", "envoy.config.cluster.v3.Cluster"] {
            #expect(typeURL(named: name) == nil)
        }
    }

    @Test("the process's environment is what the C library sees")
    func environment() throws {
        let path = try #require(unsafe getenv("PATH").map { unsafe String(cString: $0) })
        #expect(processEnvironment()["PATH"] == path)
    }
}

@Suite("A node in JSON")
struct NodeReaderTests {
    private func read(_ text: String) -> Result<Node, NodeReadingError> {
        Result { () throws(NodeReadingError) in try readNode(Array(text.utf8), file: "node.json") }
    }

    @Test("both spellings give the same node, and metadata keeps its kinds")
    func spellings() throws {
        let camel = """
            {"id": "n", "cluster": "c", "metadata": {"a": [1, "x", null, true, {"b": 0.5}]},
             "locality": {"region": "r", "zone": "z", "subZone": "s"}, "userAgentName": "envoy",
             "userAgentBuildVersion": {"version": {"majorNumber": 1, "minorNumber": 37, "patch": 2}, "metadata": {}},
             "clientFeatures": ["f"], "extensions": [{"name": "x"}], "dynamicParameters": {}, "listeningAddresses": []}
            """
        let snake = """
            id: n
            cluster: c
            metadata: {a: [1, x, ~, true, {b: 0.5}]}
            locality: {region: r, zone: z, sub_zone: s}
            user_agent_name: envoy
            user_agent_version: 1.37.2
            client_features: [f]
            """
        let node = try read(camel).get()
        #expect(try node == read(snake).get())
        #expect(node.userAgentVersion == "1.37.2" && node.subZone == "s" && node.clientFeatures == ["f"])
        let list = MetadataValue.list([.number(1), .string("x"), .null, .bool(true), .object(["b": .number(0.5)])])
        #expect(node.metadata == ["a": list])
        #expect(try read("{}").get().hasMetadata == false)
    }

    @Test("wrong fields and types are errors with their place")
    func errors() {
        guard case .failure(let error) = read("{\"idd\": \"n\",\n \"cluster\": 5, \"locality\": []}") else {
            Issue.record("it was read")
            return
        }
        #expect(
            error.diagnostics.map(\.description) == [
                "node.json:1:2: error: idd: unknown field; did you mean \"id\"?",
                "node.json:2:13: error: cluster: expected text, not the number 5; put it in quotes",
                "node.json:2:28: error: locality: expected a mapping, not a list",
            ])
        #expect(throws: NodeReadingError.self) { try read("[").get() }
    }

    @Test("health and client status: what they default to, what they take, and who may ask")
    func services() throws {
        let plain = try #require(try Folder(["relay.yaml": rest]).load().configuration).downstream
        #expect(plain.health.coldStart == .serving && plain.clientStatus.allowedSANs.isEmpty)
        let tls = "tls: {certificate_chain: a, private_key: a, client_ca: a}"
        let text = """
            downstream:
              listeners: [{address: "127.0.0.1:1", \(tls)}]
              health: {cold_start: not_serving}
              client_status: {allowed_sans: ["spiffe://prod/**"]}

            """
        let (configuration, messages) = try Folder(["relay.yaml": text + rest, "a": ""]).load()
        #expect(messages.isEmpty)
        #expect(configuration?.downstream.health.coldStart == .notServing)
        #expect(configuration?.downstream.clientStatus.allowedSANs.map(\.text) == ["spiffe://prod/**"])
        let wrong = """
            downstream:
              health: {cold_start: maybe}
              client_status: {allowed_sans: ["x"]}

            """
        #expect(
            try Folder(["relay.yaml": wrong + rest]).load().messages == [
                "relay.yaml:2:24: error: downstream.health.cold_start: \"maybe\" is none of \"serving\", \"not_serving\"",
                "relay.yaml:3:33: error: downstream.client_status.allowed_sans: it needs a listener with "
                    + "\"tls.client_ca\": without it no client has a certificate to go by",
            ])
    }
}
