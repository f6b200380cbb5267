import WeirBase

/// `/keys` as a table, and what is held.
func keysText(_ keys: [JSONValue], _ screen: Screen) -> String {
    var table = Table([
        "KEY", "UPSTREAM", "STATE", "TYPE", "VERSION", "RESOURCES", "BYTES", "STREAMS", "ACKED", "PENDING", "NACKED",
        "UPDATED", "HELD", "EARLIER",
    ])
    var notes: [String] = []
    for key in keys {
        let name = key["key"]?.string ?? ""
        let upstream = key["upstream"]
        let state = upstream?["state"]?.string ?? ""
        let types = key["types"]?.members ?? []
        for label in orderedTypes(Set(types.map(\.name))) {
            guard let type = key["types"]?[label] else { continue }
            let nacked = type["nacked"]?.int ?? 0
            let held = type["held"]?["reason"]?.string
            let pending = type["pending"]?.int ?? 0
            let first = [
                Table.Cell(name), Table.Cell(upstream?["name"]?.string ?? ""),
                Table.Cell(state, state == "connected" ? .good : .bad), Table.Cell(label),
                Table.Cell(type["version"]?.string ?? ""), Table.Cell(countText(type["resources"])),
                Table.Cell(countText(type["bytes"])), Table.Cell(countText(type["streams"])),
                Table.Cell(countText(type["acked"])),
            ]
            table.add(
                first + [
                    Table.Cell(String(pending), pending > 0 ? .doubtful : .plain),
                    Table.Cell(String(nacked), nacked > 0 ? .bad : .plain),
                    Table.Cell(type["updated"]?.string ?? ""), Table.Cell(held ?? "", held == nil ? .faint : .bad),
                    Table.Cell(
                        (type["history"]?.elements ?? []).compactMap { $0["version"]?.string }.joined(separator: ",")),
                ])
            notes += keyNotes(name, label, type, screen)
        }
        if types.isEmpty {
            table.add([name, upstream?["name"]?.string ?? "", state] + [String](repeating: "", count: 11))
        }
    }
    if table.isEmpty { return "no keys\n" }
    return table.text(screen) + (notes.isEmpty ? "" : "\n" + notes.map { $0 + "\n" }.joined())
}

/// What a table has no room for: why something is held, and how a rollout stands.
private func keyNotes(_ key: String, _ label: String, _ type: JSONValue, _ screen: Screen) -> [String] {
    var notes: [String] = []
    if let held = type["held"], let reason = held["reason"]?.string {
        let version = held["version"]?.string ?? ""
        let since = held["since"]?.string ?? ""
        let detail = held["detail"]?.string ?? ""
        let text = "held (\(reason)): \(label) of \(key), version \(version), since \(since): \(detail)"
        notes.append(screen.paint(printable(text), .bad))
    }
    if let rollout = type["rollout"], let version = rollout["version"]?.string {
        let text =
            "rollout: \(label) of \(key), version \(version): first \(countText(rollout["first"])), "
            + "accepted \(countText(rollout["accepted"])), rejected \(countText(rollout["rejected"]))"
        notes.append(screen.paint(printable(text), .doubtful))
    }
    if type["stale"]?.bool == true {
        notes.append(screen.paint(printable("stale: \(label) of \(key): its upstream has not confirmed it"), .doubtful))
    }
    return notes
}

/// `/clients` as a table of streams and types, and what was said to reject.
func clientsText(_ streams: [JSONValue], _ screen: Screen) -> String {
    var table = Table([
        "NODE", "CLUSTER", "KEY", "SERVICE", "PROTOCOL", "PEER", "SINCE", "TYPE", "STATE", "SENT", "ACKED",
        "SUBSCRIBED",
    ])
    for stream in streams {
        let first = ["node", "cluster", "key", "service", "protocol", "peer", "since"].map {
            Table.Cell(stream[$0]?.string ?? "")
        }
        let types = stream["types"]?.members ?? []
        for label in orderedTypes(Set(types.map(\.name))) {
            guard let type = stream["types"]?[label] else { continue }
            let state = SyncState(type["state"]?.string)
            table.add(
                first + [
                    Table.Cell(label), Table.Cell(state.label, state.tone), Table.Cell(type["sent"]?.string ?? ""),
                    Table.Cell(type["acked"]?.string ?? ""), Table.Cell(subscriptionText(type["subscribed"])),
                ])
        }
        if types.isEmpty { table.add(first + [String](repeating: "", count: 5).map { Table.Cell($0) }) }
    }
    if table.isEmpty { return "no clients\n" }
    let rejections = rejectionLines(streams).map { screen.paint($0, .bad) + "\n" }
    return table.text(screen) + (rejections.isEmpty ? "" : "\n" + rejections.joined())
}

/// At most three names, and how many more.
private func subscriptionText(_ value: JSONValue?) -> String {
    if let text = value?.string { return text }
    let names = (value?.elements ?? []).compactMap(\.string)
    let shown = names.prefix(3).joined(separator: ",")
    return names.count > 3 ? "\(shown) and \(names.count - 3) more" : shown
}

/// `/config_dump` as a table; with `withBodies` the resources below it.
func dumpText(_ resources: [JSONValue], withBodies: Bool, _ screen: Screen) -> String {
    var table = Table(["KEY", "TYPE", "NAME", "VERSION", "UPDATED"])
    for resource in resources {
        table.add(
            ["key", "type_url", "name", "version", "updated"].map { field in
                let text = resource[field]?.string ?? ""
                return field == "type_url" ? text.split(separator: "/").last.map(String.init) ?? text : text
            })
    }
    if table.isEmpty { return "no resources\n" }
    guard withBodies else { return table.text(screen) }
    let bodies = resources.map { "\n" + prettyJSON($0["resource"] ?? .null) + "\n" }
    return table.text(screen) + bodies.joined()
}

/// JSON for people: two spaces for each level. What JSON does not escape and a terminal would obey is.
func prettyJSON(_ value: JSONValue, indent: String = "") -> String {
    let inner = indent + "  "
    switch value {
    case .array(let elements) where !elements.isEmpty:
        let lines = elements.map { inner + prettyJSON($0, indent: inner) }
        return "[\n" + lines.joined(separator: ",\n") + "\n\(indent)]"
    case .object(let members) where !members.isEmpty:
        let lines = members.map { "\(inner)\(jsonText(.string($0.name))): \(prettyJSON($0.value, indent: inner))" }
        return "{\n" + lines.joined(separator: ",\n") + "\n\(indent)}"
    default: return jsonText(value)
    }
}

func jsonText(_ value: JSONValue) -> String {
    var json = JSONWriter()
    value.write(to: &json)
    return printable(String(decoding: json.bytes, as: UTF8.self))
}
