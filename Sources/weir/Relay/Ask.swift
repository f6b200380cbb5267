import WeirBase
import WeirConfig

/// Carries out a command that needs a running relay. Writes events as they come; everything else is in the result.
func ask(
    _ question: Question, environment: [String: String], screen: Screen, write: @escaping (String) -> Void
) -> CommandResult {
    do throws(RelayFailure) {
        let relay = try RelayClient(question.access, environment: environment)
        switch question.topic {
        case .status: return try status(question, relay, screen)
        case .events: return try events(question, relay, screen, write)
        case .hold, .release, .rollback, .refresh, .evict, .drain:
            return CommandResult(output: try command(question, relay))
        case .diff: return CommandResult(output: try diff(question, relay, screen))
        default:
            let answer = try list(question, relay)
            let output = question.isJSON ? text(answer.text) : show(answer.elements, question, screen)
            return partial(output, answer.missing)
        }
    } catch {
        return CommandResult(errors: "weir: \(error.message)\n", status: error.status)
    }
}

/// What is not whole is said, and told by the status.
private func partial(_ output: String, _ missing: [Int]) -> CommandResult {
    if missing.isEmpty { return CommandResult(output: output) }
    let workers = missing.map(String.init).joined(separator: ", ")
    return CommandResult(
        output: output, errors: "weir: no answer from worker \(workers): what it knows is missing\n",
        status: ExitStatus.failed)
}

private func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }

// MARK: Lists

private func list(_ question: Question, _ relay: RelayClient) throws(RelayFailure) -> RelayList {
    let key: QueryItem = ("key", question.key)
    let type: QueryItem = ("type", question.type)
    switch question.topic {
    case .keys: return try relay.list("/keys", "keys", [key])
    case .clients: return try relay.list("/clients", "clients", [key, ("node", question.node)])
    case .dump: return try relay.list("/config_dump", "resources", [key, type, ("name", question.name)])
    default: return try relay.list("/history", "pushes", [key, type], limit: question.limit ?? 50)
    }
}

private func show(_ elements: [JSONValue], _ question: Question, _ screen: Screen) -> String {
    switch question.topic {
    case .keys: keysText(elements, screen)
    case .clients: clientsText(elements, screen)
    case .dump: dumpText(elements, withBodies: question.name != nil, screen)
    default: historyText(elements, screen)
    }
}

private func diff(_ question: Question, _ relay: RelayClient, _ screen: Screen) throws(RelayFailure) -> String {
    let query = [("key", question.key), ("type", question.type), ("from", question.from), ("to", question.to)]
    if question.isJSON { return text(try relay.get("/diff", query)) }
    let diff = try relay.json("/diff", query)
    return diffText(diff, key: question.key ?? "", type: question.type ?? "", screen)
}

// MARK: Status

private func status(
    _ question: Question, _ relay: RelayClient, _ screen: Screen
) throws(RelayFailure) -> CommandResult {
    let info = try relay.json("/server_info")
    // A relay that is not ready says so, with what it has to say of its state.
    let ready = try relay.json("/ready", accepting: [503])
    let upstreams = try relay.list("/upstreams", "upstreams", [])
    let clients = try relay.list("/clients", "clients", [("key", question.key), ("node", question.node)])
    guard question.isJSON else {
        let view = StatusView(
            address: relay.address, info: info, ready: ready, upstreams: upstreams.elements, streams: clients.elements,
            onlyUnsynced: question.onlyUnsynced)
        return partial(view.text(screen), clients.missing)
    }
    let shown = clients.elements.filter { !question.onlyUnsynced || ClientSync.merge([$0])[0].worst != .synced }
    var json = JSONWriter()
    json.object { object in
        object.key("server_info")
        info.write(to: &object)
        object.key("ready")
        ready.write(to: &object)
        object.array("upstreams") { list in for upstream in upstreams.elements { upstream.write(to: &list) } }
        object.array("clients") { list in for client in shown { client.write(to: &list) } }
    }
    return partial(text(json.bytes) + "\n", clients.missing)
}

// MARK: Commands

private func command(_ question: Question, _ relay: RelayClient) throws(RelayFailure) -> String {
    let key = question.key ?? ""
    guard question.topic != .drain else {
        let answer = try relay.post("/drain", [])
        return question.isJSON ? text(answer) : "draining\n"
    }
    let query: [QueryItem] = [("key", key), ("type", question.type), ("to", question.to)]
    let answer = try relay.post("/keys/\(question.topic.rawValue)", query)
    if question.isJSON { return text(answer) }
    let parsed = try? parseJSON(answer)
    let of = printable("\(question.type ?? "") of key \"\(key)\"")
    let version = printable(parsed?["version"]?.string ?? "")
    switch question.topic {
    case .hold: return "held: \(of) at version \(version)\n"
    case .release: return "released: \(of), now at version \(version)\n"
    case .rollback: return "rolled back: \(of) to version \(version), and held there\n"
    case .refresh: return printable("refreshing key \"\(key)\"") + "\n"
    default: return printable("evicted key \"\(key)\"") + "\n"
    }
}

// MARK: Events

/// How long `weir events` listens unless it is told.
private let eventsDuration = Nanoseconds.seconds(10)

private func events(
    _ question: Question, _ relay: RelayClient, _ screen: Screen, _ write: @escaping (String) -> Void
) throws(RelayFailure) -> CommandResult {
    let query: [QueryItem] = [
        ("key", question.key), ("node", question.node), ("type", question.type),
        ("kind", question.kinds.isEmpty ? nil : question.kinds.joined(separator: ",")),
    ]
    var reader = EventReader()
    var count = 0
    var wasOpen = false
    let onLine: (String) -> Bool = { line in
        wasOpen = true
        guard let event = reader.take(line) else { return true }
        if !question.kinds.isEmpty, !event.kind.isEmpty, eventKinds.contains(event.kind),
            !question.kinds.contains(event.kind)
        {
            return true
        }
        write(eventLine(event, question.isJSON, screen) + "\n")
        count += 1
        return question.limit.map { count < $0 } ?? true
    }
    let isUnlimited = question.isFollowing || (question.limit != nil && question.duration == nil)
    let duration = isUnlimited ? nil : question.duration ?? eventsDuration
    while true {
        do throws(RelayFailure) {
            try relay.stream("/events", query, for: duration, onLine: onLine)
        } catch {
            // What never worked is an error; what worked and was lost is waited for.
            if !wasOpen || !question.isFollowing { throw error }
        }
        let isEnough = question.limit.map { count >= $0 } ?? false
        guard question.isFollowing, !isEnough else { return CommandResult() }
        reader = EventReader()
        pause(.seconds(1))
    }
}

private func eventLine(_ event: EventReader.Event, _ isJSON: Bool, _ screen: Screen) -> String {
    let data = try? parseJSON(Array(event.data.utf8))
    guard isJSON else { return eventText(kind: event.kind, data ?? .string(event.data), screen) }
    guard case .object(let members)? = data, !event.kind.isEmpty else { return event.data }
    return jsonText(.object([JSONMember("event", .string(event.kind))] + members.filter { $0.name != "event" }))
}
