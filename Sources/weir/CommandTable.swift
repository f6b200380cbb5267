import WeirXDS

/// Short names of types, in push order.
let typeNames = XDSType.known.sorted { $0.pushOrder < $1.pushOrder }.compactMap(\.shortName)
private let configOption = OptionSpec("--config", "FILE", "the relay.yaml", .file)
private let typeOption = OptionSpec(
    "--type", "TYPE", "a short name (cds) or a type URL", .words(typeNames))
private let keyOption = OptionSpec("--key", "KEY", "only this key")
private let jsonOption = OptionSpec("--json", nil, "the answer as JSON")

/// Commands that need no running relay.
let localCommands: [CommandSpec] = [
    CommandSpec(
        topic: .serve, usage: ["serve --config FILE"], summary: "run the relay",
        text: [
            "Runs the relay with the configuration in FILE; logs go to stderr.",
            "SIGTERM and SIGINT drain and end with status 0. SIGHUP reads FILE again, and keeps what it had if FILE is "
                + "invalid.",
        ],
        options: [configOption]),
    CommandSpec(
        topic: .check, usage: ["check --config FILE"], summary: "validate a configuration",
        text: [
            "Prints OK if FILE is a valid configuration; otherwise every error as FILE:LINE:COL: error: ..., and ends "
                + "with status 2. Warnings do not make a configuration invalid."
        ],
        options: [configOption]),
    CommandSpec(
        topic: .explain,
        usage: [
            "explain --config FILE --node FILE [OPTIONS]", "explain --admin URL --node FILE [OPTIONS]",
            "explain --client NODE [--admin URL] [OPTIONS]",
        ],
        summary: "tell which key a node gets, by which rule, and why not by others",
        text: [
            "Prints the key that a node gets, the rule that gives it, what its patterns caught, and why each earlier "
                + "rule does not match. Ends with status 1 if no rule matches.",
            "With --admin, a running relay is asked, and answers by the rules that are in force there. With --client it "
                + "tells of a client that is connected: what it asked for, what it has, and why it lacks the rest.",
        ],
        options: [
            configOption,
            OptionSpec("--node", "FILE", "the node: an envoy.config.core.v3.Node in protobuf's JSON form", .file),
            OptionSpec("--client", "NODE", "the id of a connected client's node"),
            OptionSpec(
                "--type", "TYPE", "the type asked for: a short name (cds) or a type URL", .words(typeNames)),
            OptionSpec(
                "--resources", "A,B", "the names asked for (only rule files of xds-relay look at them)"),
            OptionSpec("--peer-address", "ADDR", "the client's address"),
            OptionSpec("--peer-san", "A,B", "the URI and DNS names of the client's certificate"),
        ] + accessOptions),
    CommandSpec(
        topic: .store,
        usage: [
            "store inspect|verify|export --config FILE [--key KEY]",
            "store inspect|verify|export --path PATH [--key KEY]",
        ],
        summary: "look into the last good state on disk",
        text: ["Looks into the store of cache.store, also while a relay uses it."],
        words: [
            CommandSpec.Word(name: "inspect", help: "a table of what is stored: keys, types, versions, sizes"),
            CommandSpec.Word(name: "verify", help: "check every record; status 1 if something is damaged"),
            CommandSpec.Word(name: "export", help: "the resources as JSON, without secrets"),
        ],
        options: [
            configOption,
            OptionSpec(
                "--path", "PATH",
                "the store's folder, or a file of one that was set aside; what is encrypted can be read with --config "
                    + "only", .file),
            OptionSpec("--key", "KEY", "only what belongs to this key"),
            OptionSpec(
                "--before-use", nil,
                "verify: also try what a relay does before it writes; for a store that no relay uses"),
        ]),
]

/// How the debug endpoint is reached.
private let accessOptions: [OptionSpec] = [
    OptionSpec(
        "--admin", "URL",
        "the relay's debug endpoint: http://HOST:PORT, https://..., HOST:PORT or unix:///PATH; default WEIR_ADMIN, "
            + "then http://127.0.0.1:9901"),
    OptionSpec(
        "--token-file", "FILE", "a file with the token that admin.token_file asks for; default WEIR_TOKEN_FILE", .file),
    OptionSpec(
        "--ca", "FILE", "authorities that the endpoint's certificate may be signed by; default: the system's",
        .file),
    OptionSpec("--certificate", "FILE", "a client certificate to show, with its chain", .file),
    OptionSpec("--private-key", "FILE", "its key", .file),
    OptionSpec("--timeout", "TIME", "for each request; default 30s"),
    jsonOption,
]

private func relayCommand(
    _ topic: Command.Topic, _ arguments: String, _ summary: String, _ text: [String], _ options: [OptionSpec],
    operands: [String] = []
) -> CommandSpec {
    CommandSpec(
        topic: topic, usage: ["\(topic.rawValue) \(arguments)"], summary: summary, text: text,
        options: options + accessOptions, operands: operands)
}

/// Commands that ask a running relay, or tell it what to do.
let relayCommands: [CommandSpec] = [
    relayCommand(
        .status, "[--key KEY] [--node NODE] [--unsynced]", "one screen: upstreams, and who is in sync",
        [
            "Prints what degrades the relay, its upstreams, and one line for each client with the state of each type: "
                + "SYNCED (it acknowledged the newest that it was sent), STALE (it was sent something and has not "
                + "answered), NACK (it rejected the last response), NOT SENT (it waits for a first one). Clients that "
                + "need attention come first; what they said when they rejected stands below."
        ],
        [
            keyOption, OptionSpec("--node", "NODE", "only clients with this node id"),
            OptionSpec("--unsynced", nil, "only clients that are not in sync"),
        ]),
    relayCommand(
        .keys, "[--key KEY]", "the groups: versions, sizes, holds",
        ["Prints one line for each key and type: what clients are given, how many took it, and what is held back."],
        [keyOption], operands: ["--key"]),
    relayCommand(
        .clients, "[--key KEY] [--node NODE]", "the streams, and the state of their types",
        ["Prints one line for each stream and type, and what was said to reject a response."],
        [keyOption, OptionSpec("--node", "NODE", "only clients with this node id")]),
    relayCommand(
        .dump, "[--key KEY] [--type TYPE] [--name NAME]", "the cached resources",
        [
            "Prints one line for each resource; with --name, or with --json, the resources themselves as JSON. Private "
                + "keys never appear."
        ],
        [keyOption, typeOption, OptionSpec("--name", "NAME", "only this resource, and its content")],
        operands: ["--key", "--type", "--name"]),
    relayCommand(
        .diff, "--key KEY --type TYPE [--from VERSION] [--to VERSION]", "what changed between two versions",
        ["Prints what came (+), what went (-), and of what changed (~) the fields with their values before and after."],
        [
            OptionSpec("--key", "KEY", "the key"), typeOption,
            OptionSpec("--from", "VERSION", "default: the version before the one it is compared to"),
            OptionSpec("--to", "VERSION", "default: what clients are given now"),
        ], operands: ["--key", "--type", "--from", "--to"]),
    relayCommand(
        .history, "[--key KEY] [--type TYPE] [--limit N]", "the last pushes, newest first",
        [
            "Prints one line for each push: how many resources came, changed and went, what became of it, how long it "
                + "took until the last stream was written and until the last one acknowledged, and who rejected it."
        ],
        [keyOption, typeOption, OptionSpec("--limit", "N", "so many; default 50")], operands: ["--key", "--type"]),
    relayCommand(
        .events, "[--follow] [--key KEY] [--node NODE] [--type TYPE] [OPTIONS]", "what happens, as it happens",
        [
            "Prints a line for each request, response, ACK, NACK, push, hold and change of connection. Listens for 10 "
                + "seconds, or until --for or --limit says otherwise; with --follow until it is interrupted, and "
                + "connects again when the relay was away.",
            "With --json each line is the JSON of one event.",
        ],
        [
            OptionSpec("--follow", nil, "go on until interrupted"),
            OptionSpec("--for", "TIME", "end after this time"),
            OptionSpec("--limit", "N", "end after so many events"),
            keyOption, OptionSpec("--node", "NODE", "only this node id"), typeOption,
            OptionSpec("--kind", "A,B", "only these kinds of events", .words(eventKinds)),
        ]),
    relayCommand(
        .hold, "--key KEY --type TYPE", "keep the clients of a type at what they have",
        ["Clients of the type keep what they have until it is released. What comes meanwhile is kept back."],
        [OptionSpec("--key", "KEY", "the key"), typeOption], operands: ["--key", "--type"]),
    relayCommand(
        .release, "--key KEY --type TYPE", "give them the newest state, whatever held it",
        ["Gives the clients of the type the newest state. Status 1 if nothing is held."],
        [OptionSpec("--key", "KEY", "the key"), typeOption], operands: ["--key", "--type"]),
    relayCommand(
        .rollback, "--key KEY --type TYPE [--to VERSION]", "take them to an earlier state, and keep them there",
        ["Takes the clients of the type to an earlier state, and keeps them there until it is released."],
        [
            OptionSpec("--key", "KEY", "the key"), typeOption,
            OptionSpec("--to", "VERSION", "one that is kept (see weir keys); default: the one before"),
        ], operands: ["--key", "--type", "--to"]),
    relayCommand(
        .refresh, "--key KEY", "have the control plane asked for everything again",
        ["Begins the key's upstream streams anew. Clients hear only of what is different then."],
        [OptionSpec("--key", "KEY", "the key")], operands: ["--key"]),
    relayCommand(
        .evict, "--key KEY", "forget a group that no stream uses",
        ["Forgets a group at once. Status 1 while streams use it."],
        [OptionSpec("--key", "KEY", "the key")], operands: ["--key"]),
    relayCommand(
        .drain, "", "send clients elsewhere; the process goes on",
        ["Makes the relay unready, sends GOAWAY and takes no new connections. It goes on until SIGTERM."], []),
]

/// Event kinds of the debug endpoint.
let eventKinds = ["request", "response", "ack", "nack", "push", "hold", "connect", "disconnect", "upstream"]

let helperCommands: [CommandSpec] = [
    CommandSpec(
        topic: .completion, usage: ["completion bash|zsh|fish"], summary: "completions for a shell",
        text: [
            "Prints a script that teaches a shell weir's commands and options: for bash, source <(weir completion "
                + "bash) in ~/.bashrc; for zsh, weir completion zsh > a folder of $fpath, as _weir; for fish, weir "
                + "completion fish > ~/.config/fish/completions/weir.fish."
        ],
        words: [
            CommandSpec.Word(name: "bash", help: "for bash 4 and later"),
            CommandSpec.Word(name: "zsh", help: "for zsh"), CommandSpec.Word(name: "fish", help: "for fish"),
        ], options: []),
    CommandSpec(
        topic: .man, usage: ["man"], summary: "the manual page, for man -l -",
        text: ["Prints weir(1) in the form that man reads: weir man | man -l -"], options: []),
]
