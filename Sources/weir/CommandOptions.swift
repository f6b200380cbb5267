import WeirBase

/// Why the arguments make no command.
struct UsageError: Error {
    var message: String
}

/// The options of one command: `--name value`, `--name=value`, `--flag`, and plain words where the command takes them.
struct CommandOptions {
    let command: String
    private var values: [String: String] = [:]

    /// Nil when help is asked for.
    init?(_ arguments: [String], _ spec: CommandSpec, command: String? = nil) throws(UsageError) {
        self.command = command ?? spec.name
        var rest = arguments[...]
        var operands = spec.operands[...]
        while let argument = rest.popFirst() {
            if argument == "--help" || argument == "-h" { return nil }
            guard argument.hasPrefix("-") else {
                guard let name = operands.popFirst() else {
                    throw self.error("unexpected \"\(argument)\"; options begin with --")
                }
                try self.set(name, argument)
                continue
            }
            let parts = argument.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            try self.take(parts[0], parts.count > 1 ? parts[1] : nil, &rest, spec)
        }
    }

    private mutating func take(
        _ name: String, _ value: String?, _ rest: inout ArraySlice<String>, _ spec: CommandSpec
    ) throws(UsageError) {
        if spec.flagOptions.contains(name) {
            guard value == nil else { throw self.error("\(name) takes no value") }
            return try self.set(name, "")
        }
        guard spec.valueOptions.contains(name) else {
            let known = spec.options.map(\.name) + [helpOption.name]
            throw self.error("unknown option \"\(name)\"\(didYouMean(name, known))")
        }
        guard let value = value ?? rest.popFirst() else { throw self.error("\(name) needs a value") }
        try self.set(name, value)
    }

    private mutating func set(_ name: String, _ value: String) throws(UsageError) {
        guard self.values[name] == nil else { throw self.error("\(name) is given twice") }
        self.values[name] = value
    }

    func error(_ message: String) -> UsageError { UsageError(message: "\(self.command): \(message)") }

    subscript(name: String) -> String? { self.values[name] }

    /// The value of an option; nil where it is absent or empty.
    func text(_ name: String) -> String? { self.values[name].flatMap { $0.isEmpty ? nil : $0 } }

    func has(_ name: String) -> Bool { self.values[name] != nil }

    func require(_ name: String, _ placeholder: String) throws(UsageError) -> String {
        if let value = self.text(name) { return value }
        throw self.error("it needs \(name) \(placeholder)")
    }

    func list(_ name: String) -> [String] {
        (self.values[name] ?? "").split(separator: ",").map(String.init)
    }
}

func didYouMean(_ name: String, _ names: [String]) -> String {
    nearestName(to: name, among: names).map { "; did you mean \"\($0)\"?" } ?? ""
}
