import WeirObserve

/// Everything that the debug endpoint answers.
extension AdminRoute {
    /// What only looks; HEAD goes wherever GET does.
    static let reading: [AdminRoute] =
        [
            AdminRoute("GET", "/", "A page for people.", contentType: "text/html; charset=utf-8"),
            AdminRoute(
                "GET", "/ready", "Whether it serves.", [.format], schema: "Ready",
                errors: [(503, "It starts, or drains.")]),
            AdminRoute(
                "GET", "/live", "Whether the loops turn.", [.format], schema: "Live",
                errors: [(503, "A loop does not turn.")]),
            AdminRoute("GET", "/server_info", "Version, state, uptime.", [.format], schema: "ServerInfo"),
            AdminRoute(
                "GET", "/keys", "The groups, by key.", [.key, .limit, .cursor, .format], schema: "Keys"),
            AdminRoute(
                "GET", "/clients", "The streams, and what each type's state is on them.",
                [.key] + nodeFilters + [
                    .type, AdminParameter("state", .choice(states), "Streams of which a type is in this state."),
                    .limit,
                    AdminParameter("cursor", .place, AdminParameter.cursor.about), .format,
                ], free: ["node.metadata."], schema: "Clients"),
            AdminRoute("GET", "/upstreams", "The upstreams and their servers.", [.format], schema: "Upstreams"),
            AdminRoute(
                "GET", "/config_dump", "The resources that clients have.",
                [
                    .key, .type, AdminParameter("name", "The name of a resource."), .limit, .cursor, .format,
                ], schema: "ConfigDump"),
            AdminRoute(
                "GET", "/explain", "Which key a node gets, and why; what a connected client has, and what it lacks.",
                explainFields, free: ["node.metadata."], schema: "Explanation", errors: clientErrors),
            AdminRoute(
                "GET", "/debug/syncz", "The clients' state in istiod's shape.",
                [AdminParameter("proxyID", "The node of a client.")] + nodeFilters + [.key, .format],
                free: ["node.metadata."], schema: "Syncz", errors: [(503, "A worker does not turn.")]),
            AdminRoute(
                "GET", "/debug/config_dump", "What one client has, in the shape of Envoy's and istiod's dumps.",
                [
                    AdminParameter("proxyID", required: true, "The node of a client."),
                    AdminParameter("types", "Types, with commas between."),
                    AdminParameter("include_eds", .choice(["true", "false"]), "Whether endpoints are in it."), .format,
                ], schema: "ProxyConfigDump",
                errors: clientErrors + [(409, "It is too large.")]),
            AdminRoute("GET", "/metrics", "Prometheus.", contentType: Exposition.contentType),
            AdminRoute("GET", "/stats/prometheus", "Prometheus.", contentType: Exposition.contentType),
            AdminRoute("GET", "/overview", "Sums over all groups, and the worst of them.", schema: "Overview"),
            AdminRoute("GET", "/activity", "The last minutes, second by second.", schema: "Activity"),
            AdminRoute(
                "GET", "/checks", "What has drifted, and how the self-check clients fare.", [.format],
                schema: "Checks"),
            AdminRoute("GET", "/memory", "What the process holds.", [.format], schema: "Memory"),
            AdminRoute("GET", "/logging", "The log level.", [.format], schema: "Logging"),
            AdminRoute("GET", "/openapi.json", "This document.", schema: "Document"),
        ] + pushes

    private static let clientErrors = [(404, "No such client."), (503, "A worker does not turn.")]

    /// What changes something.
    static let changing: [AdminRoute] = [
        AdminRoute(
            "POST", "/logging", "Sets the log level.",
            [AdminParameter("level", .choice(levels), required: true, "The least that is logged.")],
            schema: "Logging"),
        AdminRoute("POST", "/drain", "Unready, GOAWAY, no new connections.", schema: "Draining"),
        command("hold", "Keeps the clients of a type at what they have.", [type]),
        command("release", "Gives them the newest state, whatever held it.", [type]),
        command(
            "rollback", "Takes them to an earlier state, and keeps them there.",
            [type, AdminParameter("to", "A version; without it the state before the present one.")]),
        command("refresh", "Has the control plane asked for everything again.", []),
        command("evict", "Forgets a group that no stream uses.", []),
        AdminRoute(
            "POST", "/checks/drift", "Has a group compared with its control plane now.",
            [AdminParameter("key", required: true, AdminParameter.key.about)], schema: "Queued",
            errors: [
                (404, "No such key."), (409, "The group asks no control plane."),
                (503, "The group's worker takes nothing."),
            ]),
    ]

    /// Pushes and events.
    private static let pushes: [AdminRoute] = [
        AdminRoute(
            "GET", "/history", "The last pushes, newest first.", [.key, .type, .limit, .format],
            schema: "History"),
        AdminRoute(
            "GET", "/diff", "What is different between two versions of a type.",
            [
                AdminParameter("key", required: true, AdminParameter.key.about),
                type, AdminParameter("from", "A version; without it the one before `to`."),
                AdminParameter("to", "A version; without it the present one."), .format,
            ], schema: "Diff",
            errors: [(404, "No such key, type or version."), (410, "What lies between is not kept any more.")]),
        AdminRoute(
            "GET", "/events", "What happens, as it happens.",
            [.key, AdminParameter("node", "The node of a client."), .type, AdminParameter("kind", "Kinds of events.")],
            contentType: "text/event-stream", errors: [(503, "As many listen as may.")]),
    ]

    private static let type = AdminParameter("type", .type, required: true, AdminParameter.type.about)
    private static let levels = ["debug", "info", "warning", "error"]
    private static let states = ["waiting", "sent", "acked", "nacked"]

    private static func command(_ name: String, _ about: String, _ parameters: [AdminParameter]) -> AdminRoute {
        AdminRoute(
            "POST", "/keys/\(name)", about,
            [AdminParameter("key", required: true, AdminParameter.key.about)] + parameters, schema: "Command",
            errors: [
                (404, "No such key, type or version."), (409, "The state of things does not allow it."),
                (503, "The group's worker does not turn; nothing was done."),
            ])
    }

    /// A condition on a node's id, for each way that `envoy.type.matcher.v3.StringMatcher` knows.
    private static let nodeFilters: [AdminParameter] =
        [AdminParameter("node", "The node's id.")]
        + NodeFilter.ways.filter { $0 != .exact }.map {
            AdminParameter("node:\($0.rawValue)", "The node's id: \($0.about).")
        }

    private static let explainFields: [AdminParameter] =
        [AdminParameter("node", "The node of a connected client; then no other field of a node is taken.")]
        + [
            "node.id", "node.cluster", "node.locality.region", "node.locality.zone", "node.locality.sub_zone",
            "node.user_agent_name", "node.user_agent_version",
        ].map { AdminParameter($0, "A field of a node that need not exist.") } + [
            AdminParameter("peer.address", "The client's address."),
            AdminParameter("peer.san", "Names of the client's certificate, with commas between."),
            AdminParameter("type", .type, AdminParameter.type.about),
            AdminParameter("resources", "Names of resources, with commas between."), .format,
        ]
}
