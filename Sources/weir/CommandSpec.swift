/// What one command is called, takes and does: the parser, the help, the completions and the man page are made of it.
struct CommandSpec {
    /// A word that must follow the command's name (`inspect` of `weir store`).
    struct Word {
        var name: String
        var help: String
    }

    var topic: Command.Topic
    /// What follows `weir`, one line for each form.
    var usage: [String]
    /// One line for the list of commands.
    var summary: String
    /// Paragraphs of plain text, wrapped where they are shown.
    var text: [String]
    var words: [Word] = []
    var options: [OptionSpec]
    /// Options whose values may also be given as plain words, in this order.
    var operands: [String] = []
    /// Not in the list of commands of `weir --help`.
    var isMinor = false

    var name: String { self.topic.rawValue }
    var valueOptions: [String] { self.options.filter { $0.value != nil }.map(\.name) }
    var flagOptions: [String] { self.options.filter { $0.value == nil }.map(\.name) }
}

/// One option of a command.
struct OptionSpec {
    enum Completion: Equatable {
        case nothing
        case file
        case words([String])
    }

    var name: String
    /// The placeholder of its value; nil for a flag.
    var value: String?
    var help: String
    var completion = Completion.nothing

    init(_ name: String, _ value: String? = nil, _ help: String, _ completion: Completion = .nothing) {
        self.name = name
        self.value = value
        self.help = help
        self.completion = completion
    }
}

/// The commands, in the order of the help.
let commandTable: [CommandSpec] = localCommands + relayCommands + helperCommands

func commandSpec(_ topic: Command.Topic) -> CommandSpec? { commandTable.first { $0.topic == topic } }

let helpOption = OptionSpec("--help", nil, "this text")
