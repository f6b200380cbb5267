/// weir(1), in man's macros: made of the table of commands, and kept in `docs/weir.1`.
func manualPage() -> String {
    var lines = [
        ".\\\" Made by: weir man > docs/weir.1", ".TH WEIR 1", ".SH NAME",
        roff("weir - an xDS relay between a control plane and its proxies"), ".SH SYNOPSIS",
    ]
    for (index, usage) in commandTable.flatMap(\.usage).enumerated() {
        if index > 0 { lines.append(".br") }
        lines.append(".B weir")
        lines.append(roff(usage))
    }
    lines += [
        ".SH DESCRIPTION",
        roff(
            "Weir subscribes once for each group of proxies to an xDS control plane, caches what it gets, and fans it out. "
                + "One command runs the relay; the others look at configurations, stores and running relays."),
        ".SH COMMANDS",
    ]
    for spec in commandTable { lines += section(spec) }
    lines += [
        ".SH ENVIRONMENT",
        ".TP", ".B WEIR_ADMIN", roff("The debug endpoint, where --admin does not name one."),
        ".TP", ".B WEIR_TOKEN_FILE", roff("The file with the token, where --token-file does not name one."),
        ".TP", ".B NO_COLOR", roff("Set, and not empty: no colours on terminals."),
        ".SH EXIT STATUS",
        ".TP", ".B 0", "Fine.",
        ".TP", ".B 1", "Failed while running; the relay could not be reached, or refused; no rule matched.",
        ".TP", ".B 2", "Bad usage, or an invalid configuration.",
    ]
    return lines.joined(separator: "\n") + "\n"
}

private func section(_ spec: CommandSpec) -> [String] {
    var lines = [".SS weir \(roff(spec.name))"]
    for usage in spec.usage {
        lines += [".B weir", roff(usage), ".br"]
    }
    for paragraph in spec.text { lines += [".PP", roff(paragraph)] }
    for word in spec.words { lines += [".TP", ".B \(roff(word.name))", roff(word.help)] }
    for option in spec.options {
        lines.append(".TP")
        lines.append(option.value.map { ".BR \(roff(option.name)) \" \(roff($0))\"" } ?? ".B \(roff(option.name))")
        lines.append(roff(option.help))
    }
    return lines
}

/// One line of text that roff takes as it is.
private func roff(_ text: String) -> String {
    let escaped = text.map { character in
        switch character {
        case "\\": "\\e"
        case "-": "\\-"
        case "\"": "\\(dq"
        default: String(character)
        }
    }.joined()
    return escaped.hasPrefix(".") || escaped.hasPrefix("'") ? "\\&" + escaped : escaped
}
