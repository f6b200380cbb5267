import WeirBase

/// Why the arguments make no command.
struct UsageError: Error {
    var message: String
}

/// A command with its options.
enum Command: Equatable {
    enum Topic: String, CaseIterable { case weir, serve, check, explain, store }

    struct Explain: Equatable {
        var config = ""
        var node = ""
        var type: String?
        var resources: [String] = []
        var peerAddress = ""
        var peerSANs: [String] = []
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

    /// Arguments without the program's own name.
    init(_ arguments: [String]) throws(UsageError) {
        guard let name = arguments.first else {
            throw UsageError(
                message: "it needs a command; usage: weir serve|check|explain|store --config FILE, see weir --help")
        }
        let rest = Array(arguments.dropFirst())
        switch name {
        case "--help", "-h": self = .help(.weir)
        case "--version", "-V": self = .version
        case "help": self = .help(try Command.topic(rest))
        case "serve", "check":
            guard let options = try Options(rest, command: name, values: ["--config"], flags: []) else {
                self = .help(name == "serve" ? .serve : .check)
                return
            }
            let config = try options.require("--config", "FILE")
            self = name == "serve" ? .serve(config: config) : .check(config: config)
        case "explain": self = try Command.explain(rest)
        case "store": self = try Command.store(rest)
        default:
            let known = ["serve", "check", "explain", "store", "help", "--help", "--version"]
            let kind = name.hasPrefix("-") ? "option" : "command"
            throw UsageError(message: "unknown \(kind) \"\(name)\"\(didYouMean(name, known))")
        }
    }

    private static func topic(_ arguments: [String]) throws(UsageError) -> Topic {
        guard let name = arguments.first else { return .weir }
        if let topic = Topic(rawValue: name) { return topic }
        throw UsageError(
            message: "there is no command \"\(name)\"\(didYouMean(name, Topic.allCases.map(\.rawValue)))")
    }

    private static func store(_ arguments: [String]) throws(UsageError) -> Command {
        let actions = Store.Action.allCases.map(\.rawValue)
        guard let name = arguments.first else {
            throw UsageError(message: "store: it needs an action: \(actions.joined(separator: ", "))")
        }
        if name == "--help" || name == "-h" { return .help(.store) }
        guard let action = Store.Action(rawValue: name) else {
            throw UsageError(
                message: "store: unknown action \"\(name)\"; known are \(actions.joined(separator: ", "))")
        }
        let rest = Array(arguments.dropFirst())
        guard
            let options = try Options(
                rest, command: "store \(name)", values: ["--config", "--path", "--key"], flags: ["--before-use"])
        else { return .help(.store) }
        var store = Store(action: action, key: options["--key"], isBeforeUse: options.has("--before-use"))
        if let path = options["--path"], !path.isEmpty {
            guard options["--config"] == nil else {
                throw UsageError(message: "store \(name): --config and --path both say where the store is: give one")
            }
            store.path = path
        } else {
            store.config = try options.require("--config", "FILE, or --path PATH")
        }
        return .store(store)
    }

    private static func explain(_ arguments: [String]) throws(UsageError) -> Command {
        let values = ["--config", "--node", "--type", "--resources", "--peer-address", "--peer-san"]
        guard let options = try Options(arguments, command: "explain", values: values, flags: ["--json"]) else {
            return .help(.explain)
        }
        return .explain(
            Explain(
                config: try options.require("--config", "FILE"),
                node: try options.require("--node", "FILE"),
                type: options["--type"],
                resources: commaSeparated(options["--resources"]),
                peerAddress: options["--peer-address"] ?? "",
                peerSANs: commaSeparated(options["--peer-san"]),
                isJSON: options.has("--json")))
    }
}

/// The options of one command: `--name value`, `--name=value`, `--flag`.
private struct Options {
    private let command: String
    private var values: [String: String] = [:]

    /// Nil when help is asked for.
    init?(_ arguments: [String], command: String, values: [String], flags: [String]) throws(UsageError) {
        self.command = command
        var rest = arguments[...]
        while let argument = rest.popFirst() {
            if argument == "--help" || argument == "-h" { return nil }
            let parts = argument.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            let name = parts.first ?? ""
            guard name.hasPrefix("-") else {
                throw UsageError(message: "\(command): unexpected \"\(argument)\"; options begin with --")
            }
            let isFlag = flags.contains(name)
            guard isFlag || values.contains(name) else {
                let hint = didYouMean(name, values + flags + ["--help"])
                throw UsageError(message: "\(command): unknown option \"\(name)\"\(hint)")
            }
            if self.values[name] != nil { throw UsageError(message: "\(command): \(name) is given twice") }
            if isFlag {
                if parts.count > 1 { throw UsageError(message: "\(command): \(name) takes no value") }
                self.values[name] = ""
            } else if let value = parts.count > 1 ? parts[1] : rest.popFirst() {
                self.values[name] = value
            } else {
                throw UsageError(message: "\(command): \(name) needs a value")
            }
        }
    }

    subscript(name: String) -> String? { self.values[name] }

    func has(_ name: String) -> Bool { self.values[name] != nil }

    func require(_ name: String, _ placeholder: String) throws(UsageError) -> String {
        if let value = self.values[name], !value.isEmpty { return value }
        throw UsageError(message: "\(self.command): it needs \(name) \(placeholder)")
    }
}

private func commaSeparated(_ text: String?) -> [String] {
    (text ?? "").split(separator: ",").map(String.init)
}

private func didYouMean(_ name: String, _ names: [String]) -> String {
    nearestName(to: name, among: names).map { "; did you mean \"\($0)\"?" } ?? ""
}
