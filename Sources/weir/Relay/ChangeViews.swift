import WeirBase

/// `/history` as a table, and who rejected what.
func historyText(_ pushes: [JSONValue], _ screen: Screen) -> String {
    var table = Table([
        "AT", "PUSH", "KEY", "TYPE", "VERSION", "UPSTREAM", "ADDED", "CHANGED", "REMOVED", "OUTCOME", "WRITTEN",
        "ACKED",
        "NACKS",
    ])
    var notes: [String] = []
    for push in pushes {
        let text = { (name: String) in Table.Cell(push[name]?.string ?? "") }
        let outcome = push["outcome"]?.string ?? ""
        let nacks = push["nacks"]?.elements ?? []
        let id = push["id"]?.string ?? countText(push["id"])
        let isCut = (push["names_left_out"]?.int ?? 0) > 0
        let nackCount = max(nacks.count, push["nack_count"]?.int ?? 0)
        let first = [
            text("at"), Table.Cell(id), text("key"), text("type"), text("version"),
            Table.Cell(push["upstream"]?.string ?? push["upstream"]?["name"]?.string ?? ""),
        ]
        table.add(
            first + ["added", "changed", "removed"].map { Table.Cell(sizeText(push[$0], isCut: isCut)) } + [
                Table.Cell(outcome, outcomeTone(outcome)), Table.Cell(millisecondsText(push["written_ms"])),
                Table.Cell(millisecondsText(push["acked_ms"])),
                Table.Cell(String(nackCount), nackCount == 0 ? .plain : .bad),
            ])
        if let detail = push["detail"]?.string, !detail.isEmpty {
            notes.append(screen.paint(printable("\(outcome): push \(id): \(detail)"), outcomeTone(outcome)))
        }
        notes += nacks.map { nack in
            let line = "NACK \(nack["node"]?.string ?? ""): push \(id): \(nack["message"]?.string ?? "")"
            return screen.paint(printable(line), .bad)
        }
    }
    if table.isEmpty { return "no pushes\n" }
    return table.text(screen) + (notes.isEmpty ? "" : "\n" + notes.map { $0 + "\n" }.joined())
}

private func outcomeTone(_ outcome: String) -> Tone {
    if outcome == "sent" { return .good }
    return outcome.hasPrefix("held") || outcome == "rejected" ? .bad : .plain
}

/// A count, or the length of a list of names; of one that is cut, at least so many.
private func sizeText(_ value: JSONValue?, isCut: Bool) -> String {
    if case .array(let elements)? = value { return String(elements.count) + (isCut && !elements.isEmpty ? "+" : "") }
    return countText(value)
}

private func millisecondsText(_ value: JSONValue?) -> String {
    guard case .number(let text)? = value else { return "" }
    return text + "ms"
}

/// `/diff`: what came, went and changed, with fields.
func diffText(_ diff: JSONValue, key: String, type: String, _ screen: Screen) -> String {
    let version = { (name: String) in diff[name]?.string ?? diff[name]?["version"]?.string ?? "?" }
    var lines = [screen.paint(printable("\(type) of \(key): \(version("from")) -> \(version("to"))"), .title)]
    lines += (diff["added"]?.elements ?? []).map { screen.paint("+ \(nameText($0))", .good) }
    lines += (diff["removed"]?.elements ?? []).map { screen.paint("- \(nameText($0))", .bad) }
    for change in diff["changed"]?.elements ?? [] {
        lines.append(screen.paint("~ \(nameText(change))", .doubtful))
        for field in change["fields"]?.elements ?? [] {
            let path = printable(field["path"]?.string ?? "")
            lines.append("    \(path): \(valueText(field["from"])) -> \(valueText(field["to"]))")
        }
        let more = change["fields_left_out"]?.int ?? 0
        if more > 0 { lines.append("    and \(counted(more, "field")) more") }
    }
    for member in diff["left_out"]?.members ?? [] {
        if let count = member.value.int, count > 0 { lines.append("and \(count) more \(printable(member.name))") }
    }
    if lines.count == 1 { lines.append("nothing differs") }
    return lines.joined(separator: "\n") + "\n"
}

private func nameText(_ value: JSONValue) -> String {
    printable(value.string ?? value["name"]?.string ?? jsonText(value))
}

/// A field's value; nothing where the field was not there.
private func valueText(_ value: JSONValue?) -> String {
    guard let value, value != .null else { return "(none)" }
    return jsonText(value)
}

/// One event: the time, its kind, and what applies of the rest in a fixed order.
func eventText(kind: String, _ data: JSONValue, _ screen: Screen) -> String {
    let known = ["at", "key", "type", "version", "node", "nonce", "push", "detail"]
    let time = data["at"]?.string ?? ""
    let word = kind.isEmpty ? data["event"]?.string ?? "event" : kind
    var line = printable(time) + "  " + screen.paint(printable(word).padded(10), eventTone(word))
    for name in known.dropFirst() {
        guard let value = data[name], value != .null else { continue }
        let text = printable(value.string ?? jsonText(value))
        if text.isEmpty { continue }
        line += name == "key" || name == "type" ? " \(text)" : name == "detail" ? "  \(text)" : " \(name)=\(text)"
    }
    for member in data.members where !known.contains(member.name) && member.name != "event" && member.value != .null {
        line += " \(printable(member.name))=\(member.value.string.map(printable) ?? jsonText(member.value))"
    }
    return line
}

private func eventTone(_ kind: String) -> Tone {
    switch kind {
    case "nack", "hold": .bad
    case "ack", "connect": .good
    case "push", "upstream": .title
    case "disconnect", "dropped": .doubtful
    default: .plain
    }
}

extension String {
    fileprivate func padded(_ width: Int) -> String {
        self + String(repeating: " ", count: max(0, width - self.count))
    }
}
