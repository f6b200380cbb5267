import WeirBase
import WeirConfig
import WeirHTTPClient

/// A command with its options.
enum Command: Equatable {
    /// What there is help for: all of them, or one command.
    enum Topic: String, CaseIterable {
        case weir, serve, check, explain, store
        case status, keys, clients, dump, diff, history, events
        case hold, release, rollback, refresh, evict, drain
        case completion, man
    }

    struct Explain: Equatable {
        var config = ""
        var node = ""
        var type: String?
        var resources: [String] = []
        var peerAddress = ""
        var peerSANs: [String] = []
        /// Set: the relay there is asked instead of the configuration.
        var access: RelayAccess?
        /// The node id of a client that is connected there, in place of `node`.
        var client: String?
        var isJSON = false
    }

    struct Store: Equatable {
        enum Action: String, CaseIterable { case inspect, verify, export }

        var action: Action
        var config = ""
        var path = ""
        var key: String?
        var isBeforeUse = false
    }

    case help(Topic)
    case version
    case serve(config: String)
    case check(config: String)
    case explain(Explain)
    case store(Store)
    case ask(Question)
    case completion(Shell)
    case man

    /// Arguments without the program's own name.
    init(_ arguments: [String]) throws(UsageError) {
        guard let name = arguments.first else {
            throw UsageError(message: "it needs a command; usage: weir COMMAND [OPTIONS], see weir --help")
        }
        let rest = Array(arguments.dropFirst())
        switch name {
        case "--help", "-h": self = .help(.weir)
        case "--version", "-V": self = .version
        case "help": self = .help(try Command.topic(rest))
        default:
            guard let topic = Topic(rawValue: name), let spec = commandSpec(topic) else {
                let known = commandTable.map(\.name) + ["help", "--help", "--version"]
                let kind = name.hasPrefix("-") ? "option" : "command"
                throw UsageError(message: "unknown \(kind) \"\(name)\"\(didYouMean(name, known))")
            }
            self = try Command.parsed(spec, rest)
        }
    }

    private static func parsed(_ spec: CommandSpec, _ rest: [String]) throws(UsageError) -> Command {
        switch spec.topic {
        case .store: return try Command.store(spec, rest)
        case .completion: return try Command.completion(spec, rest)
        default: break
        }
        guard let options = try CommandOptions(rest, spec) else { return .help(spec.topic) }
        switch spec.topic {
        case .serve: return .serve(config: try options.require("--config", "FILE"))
        case .check: return .check(config: try options.require("--config", "FILE"))
        case .explain: return try Command.explain(options)
        case .man: return .man
        default: return .ask(try Question(spec.topic, options))
        }
    }

    private static func topic(_ arguments: [String]) throws(UsageError) -> Topic {
        guard let name = arguments.first else { return .weir }
        if let topic = Topic(rawValue: name) { return topic }
        throw UsageError(
            message: "there is no command \"\(name)\"\(didYouMean(name, Topic.allCases.map(\.rawValue)))")
    }

    /// The word that must follow the command's name, and what follows that; nil when help is asked for.
    private static func word(
        _ spec: CommandSpec, _ kind: String, _ rest: [String]
    ) throws(UsageError) -> (name: String, rest: [String])? {
        let known = spec.words.map(\.name).joined(separator: ", ")
        guard let name = rest.first else {
            throw UsageError(message: "\(spec.name): it needs \(kind): \(known)")
        }
        if name == "--help" || name == "-h" { return nil }
        guard spec.words.contains(where: { $0.name == name }) else {
            let noun = kind.split(separator: " ").last ?? ""
            throw UsageError(message: "\(spec.name): unknown \(noun) \"\(name)\"; known are \(known)")
        }
        return (name, Array(rest.dropFirst()))
    }

    private static func completion(_ spec: CommandSpec, _ arguments: [String]) throws(UsageError) -> Command {
        guard let (name, rest) = try Command.word(spec, "a shell", arguments),
            try CommandOptions(rest, spec, command: "completion \(name)") != nil
        else { return .help(.completion) }
        return .completion(Shell(rawValue: name) ?? .bash)
    }

    private static func store(_ spec: CommandSpec, _ arguments: [String]) throws(UsageError) -> Command {
        guard let (name, rest) = try Command.word(spec, "an action", arguments),
            let action = Store.Action(rawValue: name),
            let options = try CommandOptions(rest, spec, command: "store \(name)")
        else { return .help(.store) }
        var store = Store(action: action, key: options["--key"], isBeforeUse: options.has("--before-use"))
        if let path = options.text("--path") {
            guard options["--config"] == nil else {
                throw options.error("--config and --path both say where the store is: give one")
            }
            store.path = path
        } else {
            store.config = try options.require("--config", "FILE, or --path PATH")
        }
        return .store(store)
    }

    private static func explain(_ options: CommandOptions) throws(UsageError) -> Command {
        var explain = Explain()
        explain.client = options.text("--client")
        if options.has("--admin") || explain.client != nil {
            guard options["--config"] == nil else {
                let other = explain.client == nil ? "--admin" : "--client"
                throw options.error("--config and \(other) both say whose rules are asked: give one")
            }
            explain.access = try RelayAccess(options)
        } else {
            explain.config = try options.require("--config", "FILE")
        }
        if explain.client == nil {
            explain.node = try options.require("--node", "FILE")
        } else if options["--node"] != nil {
            throw options.error("--node and --client both say who it is: give one")
        }
        explain.type = options["--type"]
        explain.resources = options.list("--resources")
        explain.peerAddress = options["--peer-address"] ?? ""
        explain.peerSANs = options.list("--peer-san")
        explain.isJSON = options.has("--json")
        return .explain(explain)
    }
}
