/// Columns of help texts: every terminal has as many.
private let helpWidth = 80
/// Options with longer names stand on a line of their own.
private let optionColumn = 24

/// The help for a command; `weir` is the help for all of them.
func helpText(_ topic: Command.Topic) -> String {
    guard let spec = commandSpec(topic) else { return overview }
    var lines = spec.usage.enumerated().flatMap { index, usage in
        wrapped("weir \(usage)", first: index == 0 ? "usage: " : "       ", next: "           ")
    }
    for paragraph in spec.text { lines += [""] + wrapped(paragraph) }
    if !spec.words.isEmpty { lines.append("") }
    for word in spec.words { lines += item(word.name, word.help) }
    lines.append("")
    for option in spec.options + [helpOption] {
        lines += item(option.value.map { "\(option.name) \($0)" } ?? option.name, option.help)
    }
    return lines.joined(separator: "\n") + "\n"
}

private var overview: String {
    var lines = ["weir: an xDS relay between a control plane and its proxies", "", "usage: weir COMMAND [OPTIONS]"]
    let groups = [
        ("", localCommands), ("Ask a running relay, or tell it what to do:", relayCommands), ("", helperCommands),
    ]
    for (title, commands) in groups {
        lines.append("")
        if !title.isEmpty { lines += [title, ""] }
        for command in commands { lines += item(command.name, command.summary, column: 14) }
    }
    lines += ["", "  weir COMMAND --help    the options of a command", "  weir --version", ""]
    lines += wrapped(
        "Exit status: 0 fine, 1 failed while running, 2 bad usage or invalid configuration. NO_COLOR in the environment "
            + "switches colours off; they appear on terminals only.")
    return lines.joined(separator: "\n") + "\n"
}

private func item(_ name: String, _ help: String, column: Int = optionColumn) -> [String] {
    let indent = String(repeating: " ", count: column)
    let start = "  \(name)"
    guard start.count + 2 <= column else { return [start] + wrapped(help, first: indent, next: indent) }
    return wrapped(help, first: start + String(repeating: " ", count: column - start.count), next: indent)
}

/// Words in lines of at most `helpWidth` columns.
func wrapped(_ text: String, first: String = "", next: String = "", width: Int = helpWidth) -> [String] {
    var lines: [String] = []
    var line = first
    var isEmpty = true
    for word in text.split(separator: " ") {
        if !isEmpty, line.count + 1 + word.count > width {
            lines.append(line)
            line = next
            isEmpty = true
        }
        line += (isEmpty ? "" : " ") + word
        isEmpty = false
    }
    return lines + [line]
}
