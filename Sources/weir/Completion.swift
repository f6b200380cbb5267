/// Shells that there are completions for.
enum Shell: String, CaseIterable { case bash, zsh, fish }

/// A script that teaches a shell the commands and options of the table.
func completionScript(_ shell: Shell) -> String {
    switch shell {
    case .bash: bashCompletion()
    case .zsh: zshCompletion()
    case .fish: fishCompletion()
    }
}

private let topOptions = ["--help", "--version"]

/// Options whose value is completed, each name once: it means the same in every command.
private var valueCompletions: [(name: String, completion: OptionSpec.Completion)] {
    var seen: Set<String> = []
    return commandTable.flatMap(\.options).filter { $0.value != nil && seen.insert($0.name).inserted }
        .map { ($0.name, $0.completion) }
}

private func bashCompletion() -> String {
    var lines = [
        "# bash completion for weir; made by: weir completion bash", "_weir() {",
        "    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]}", "    COMPREPLY=()",
        "    local words=",
    ]
    let names = commandTable.map(\.name) + ["help"] + topOptions
    lines += ["    if [ \"$COMP_CWORD\" -eq 1 ]; then", "        words='\(names.joined(separator: " "))'", "    else"]
    lines.append("        case $previous in")
    for (name, completion) in valueCompletions {
        let action =
            switch completion {
            case .nothing: "return"
            case .file:
                "compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- \"$current\"); return"
            case .words(let words): "words='\(words.joined(separator: " "))'"
            }
        lines.append("            \(name)) \(action) ;;")
    }
    lines += ["            *) case ${COMP_WORDS[1]} in"]
    for spec in commandTable {
        let words = spec.words.map(\.name) + spec.options.map(\.name) + [helpOption.name]
        lines.append("                \(spec.name)) words='\(words.joined(separator: " "))' ;;")
    }
    lines.append("                help) words='\(commandTable.map(\.name).joined(separator: " "))' ;;")
    lines += [
        "            esac ;;", "        esac", "    fi",
        "    mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$current\")", "}", "complete -F _weir weir",
    ]
    return lines.joined(separator: "\n") + "\n"
}

// MARK: zsh

private func zshCompletion() -> String {
    var lines = [
        "#compdef weir", "# zsh completion for weir; made by: weir completion zsh", "_weir() {",
        "    local -a commands", "    commands=(",
    ]
    for spec in commandTable { lines.append("        \(quoted("\(spec.name):\(zshEscaped(spec.summary, ":"))"))") }
    lines += [
        "        'help:the options of a command'", "    )", "    if (( CURRENT == 2 )); then",
        "        _describe command commands", "        return", "    fi", "    local command=$words[2]",
        "    shift words", "    (( CURRENT-- ))", "    case $command in",
    ]
    for spec in commandTable {
        var arguments = spec.options.map(zshArgument) + [zshArgument(helpOption)]
        if !spec.words.isEmpty {
            arguments.insert("1:word:(\(spec.words.map(\.name).joined(separator: " ")))", at: 0)
        }
        lines.append("        \(spec.name))")
        lines.append("            _arguments \\")
        lines.append(arguments.map { "                \(quoted($0))" }.joined(separator: " \\\n"))
        lines.append("            ;;")
    }
    lines += [
        "        help) _describe command commands ;;", "    esac", "}",
        "if [ \"$funcstack[1]\" = _weir ]; then _weir \"$@\"; else compdef _weir weir; fi",
    ]
    return lines.joined(separator: "\n") + "\n"
}

private func zshArgument(_ option: OptionSpec) -> String {
    let start = "\(option.name)[\(zshEscaped(option.help, "[]"))]"
    guard let value = option.value else { return start }
    switch option.completion {
    case .nothing: return "\(start):\(value): "
    case .file: return "\(start):\(value):_files"
    case .words(let words): return "\(start):\(value):(\(words.joined(separator: " ")))"
    }
}

private func zshEscaped(_ text: String, _ characters: String) -> String {
    text.map { characters.contains($0) ? "\\\($0)" : String($0) }.joined()
}

/// In single quotes, for a shell of Bourne's kind.
private func quoted(_ text: String) -> String {
    "'" + text.map { $0 == "'" ? "'\\''" : String($0) }.joined() + "'"
}

// MARK: fish

private func fishCompletion() -> String {
    var lines = [
        "# fish completion for weir; made by: weir completion fish", "complete -c weir -f",
        "complete -c weir -n __fish_use_subcommand -l help -d 'the commands'",
        "complete -c weir -n __fish_use_subcommand -l version -d 'the version'",
        "complete -c weir -n __fish_use_subcommand -a help -d 'the options of a command'",
        "complete -c weir -n '__fish_seen_subcommand_from help' -a '\(commandTable.map(\.name).joined(separator: " "))'",
    ]
    for spec in commandTable {
        let seen = "complete -c weir -n '__fish_seen_subcommand_from \(spec.name)'"
        lines.append(
            "complete -c weir -n __fish_use_subcommand -a \(spec.name) -d \(fishQuoted(spec.summary))")
        for word in spec.words { lines.append("\(seen) -a \(word.name) -d \(fishQuoted(word.help))") }
        for option in spec.options + [helpOption] {
            let name = "\(seen) -l \(option.name.dropFirst(2))"
            let help = "-d \(fishQuoted(option.help))"
            switch option.completion {
            case _ where option.value == nil: lines.append("\(name) \(help)")
            case .nothing: lines.append("\(name) -x \(help)")
            case .file: lines.append("\(name) -r -F \(help)")
            case .words(let words): lines.append("\(name) -x -a '\(words.joined(separator: " "))' \(help)")
            }
        }
    }
    return lines.joined(separator: "\n") + "\n"
}

private func fishQuoted(_ text: String) -> String {
    "'" + text.map { $0 == "'" || $0 == "\\" ? "\\\($0)" : String($0) }.joined() + "'"
}
