import WeirBase

/// Where a client stands with one type, from the worst to the best.
enum SyncState: Int, Comparable {
    case nack, stale, notSent, synced

    /// The debug endpoint's words.
    init(_ state: String?) {
        switch state {
        case "nacked": self = .nack
        case "sent": self = .stale
        case "acked": self = .synced
        default: self = .notSent
        }
    }

    static func < (a: SyncState, b: SyncState) -> Bool { a.rawValue < b.rawValue }

    var label: String {
        switch self {
        case .nack: "NACK"
        case .stale: "STALE"
        case .notSent: "NOT SENT"
        case .synced: "SYNCED"
        }
    }

    var tone: Tone {
        switch self {
        case .nack: .bad
        case .stale, .notSent: .doubtful
        case .synced: .good
        }
    }
}

/// One client, with all its streams.
struct ClientSync {
    var node = ""
    var key = ""
    var protocols = ""
    var peer = ""
    var types: [String: SyncState] = [:]
    var worst: SyncState { self.types.values.min() ?? .notSent }

    /// Streams of one node and peer in one key are one client, worst ones first.
    static func merge(_ streams: [JSONValue]) -> [ClientSync] {
        var clients: [[String]: ClientSync] = [:]
        for stream in streams {
            let node = stream["node"]?.string ?? ""
            let key = stream["key"]?.string ?? ""
            let peer = stream["peer"]?.string ?? ""
            var client = clients[[node, key, peer]] ?? ClientSync(node: node, key: key, peer: peer)
            let variant = stream["protocol"]?.string ?? ""
            if !client.protocols.split(separator: "+").contains(Substring(variant)) {
                client.protocols += (client.protocols.isEmpty ? "" : "+") + variant
            }
            for type in stream["types"]?.members ?? [] {
                let state = SyncState(type.value["state"]?.string)
                client.types[type.name] = min(client.types[type.name] ?? .synced, state)
            }
            clients[[node, key, peer]] = client
        }
        return clients.values.sorted { ($0.worst, $0.key, $0.node, $0.peer) < ($1.worst, $1.key, $1.node, $1.peer) }
    }
}

/// What `weir status` shows: everything that the relay was asked for.
struct StatusView {
    var address: String
    var info: JSONValue
    var ready: JSONValue
    var upstreams: [JSONValue]
    var streams: [JSONValue]
    var onlyUnsynced = false

    func text(_ screen: Screen) -> String {
        let clients = ClientSync.merge(self.streams)
        let shown = self.onlyUnsynced ? clients.filter { $0.worst != .synced } : clients
        var parts = [self.head(screen), upstreamTable(self.upstreams).text(screen), self.summary(clients, screen)]
        if !shown.isEmpty { parts.append(self.table(shown).text(screen)) }
        let rejections = rejectionLines(self.streams)
        if !rejections.isEmpty { parts.append(rejections.map { screen.paint($0, .bad) + "\n" }.joined()) }
        return parts.joined(separator: "\n")
    }

    private func head(_ screen: Screen) -> String {
        let state = self.ready["state"]?.string ?? "?"
        let uptime = spanText(seconds: self.info["uptime_seconds"]?.int ?? 0)
        let workers = self.info["workers"]?.int ?? 0
        let version = printable(self.info["version"]?.string ?? "?")
        let config = printable(self.info["config"]?.string ?? "")
        var text = screen.paint("weir \(version)", .title) + " at \(self.address): "
        text += screen.paint(printable(state), state == "LIVE" ? .good : .bad)
        text += " for \(uptime), \(counted(workers, "worker")), \(config)\n"
        for reason in self.ready["degraded"]?.elements ?? [] {
            text += screen.paint("degraded: \(printable(reason.string ?? ""))", .bad) + "\n"
        }
        return text
    }

    private func summary(_ clients: [ClientSync], _ screen: Screen) -> String {
        let keys = Set(clients.map(\.key)).count
        var text = "\(counted(clients.count, "client")) in \(counted(keys, "key"))"
        for state in [SyncState.synced, .stale, .notSent, .nack] {
            let count = clients.count { $0.worst == state }
            if count > 0 { text += ", " + screen.paint("\(count) \(state.label)", state.tone) }
        }
        return text + "\n"
    }

    private func table(_ clients: [ClientSync]) -> Table {
        let types = orderedTypes(Set(clients.flatMap { $0.types.keys }))
        var table = Table(["NODE", "KEY"] + types.map(typeHeading) + ["PROTOCOL", "PEER"])
        for client in clients {
            let states = types.map { type in
                client.types[type].map { Table.Cell($0.label, $0.tone) } ?? Table.Cell("-", .faint)
            }
            table.add(
                [Table.Cell(client.node), Table.Cell(client.key)] + states + [
                    Table.Cell(client.protocols), Table.Cell(client.peer),
                ])
        }
        return table
    }
}

func upstreamTable(_ upstreams: [JSONValue]) -> Table {
    var table = Table(["UPSTREAM", "PROTOCOL", "STREAMS", "SERVER", "STATE", "SINCE", "LAST ERROR"])
    for upstream in upstreams {
        for server in upstream["servers"]?.elements ?? [] {
            let state = server["state"]?.string ?? ""
            let tones: [String: Tone] = ["connected": .good, "failed": .bad, "connecting": .doubtful]
            let name = Table.Cell(upstream["name"]?.string ?? "")
            let since = Table.Cell(server["connected_since"]?.string ?? "")
            table.add([
                name, Table.Cell(upstream["protocol"]?.string ?? ""), Table.Cell(countText(upstream["streams"])),
                Table.Cell(server["address"]?.string ?? ""), Table.Cell(state, tones[state] ?? .plain), since,
                Table.Cell(server["last_error"]?.string ?? ""),
            ])
        }
    }
    return table
}

/// What clients said when they rejected, one line for each type that stands rejected.
func rejectionLines(_ streams: [JSONValue]) -> [String] {
    streams.flatMap { stream in
        (stream["types"]?.members ?? []).compactMap { type -> String? in
            guard let nack = type.value["nack"], let message = nack["message"]?.string else { return nil }
            let version = nack["version"]?.string ?? ""
            let at = nack["at"]?.string ?? ""
            return printable(
                "NACK \(stream["node"]?.string ?? ""): \(type.name) version \(version) at \(at): \(message)")
        }
    }
}

/// Push order first, then the others by name.
func orderedTypes(_ types: Set<String>) -> [String] {
    typeNames.filter(types.contains) + types.subtracting(typeNames).sorted()
}

/// `CDS`, or the last part of a type URL.
func typeHeading(_ type: String) -> String {
    typeNames.contains(type) ? type.uppercased() : type.split(separator: ".").last.map(String.init) ?? type
}

func countText(_ value: JSONValue?) -> String { value?.int.map(String.init) ?? "" }

func counted(_ count: Int, _ noun: String) -> String { "\(count) \(noun)\(count == 1 ? "" : "s")" }
