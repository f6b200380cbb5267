import WeirBase
import WeirEngine
import WeirLoop
import WeirRules
import WeirXDS

/// `/explain?node=ID`: what a connected client asked for, what it has, and why it lacks the rest.
extension AdminServer {
    /// Streams of one node that are explained; a client has one, or one for each type.
    private static let streamsMax = 64

    /// `otherwise` answers if no such client is connected; it is told which workers could not be asked.
    func explainClient(_ id: String, _ answer: AdminAnswer, otherwise: @escaping @Sendable (_ missing: [Int]) -> Void) {
        var filter = StreamFilter()
        filter.node = { $0.id == id }
        filter.typeURL = answer.typeURL()
        let wanted = filter
        self.gather { (worker: Worker, done: @escaping @Sendable ([StreamExplanation]) -> Void) in
            let walk = StreamWalk(wanted, from: 0, limit: Self.streamsMax, budget: Self.pageBytesMax)
            worker.collectStreams(walk) { done($0.streams.compactMap { worker.shard.explain($0) }) }
        } render: { [self] gathered in
            let streams = gathered.parts.flatMap { $0 }
            guard !streams.isEmpty else { return otherwise(gathered.missing) }
            self.askHomes(streams, answer, missing: gathered.missing)
        }
    }

    /// What the homes of groups know, by key and type URL.
    private typealias HomeFacts = [String: [String: [OriginExplanation]]]

    private func askHomes(_ streams: [StreamExplanation], _ answer: AdminAnswer, missing: [Int]) {
        let count = self.shared.links.count
        var questions: [String: [String: Set<String>]] = [:]
        for type in streams.flatMap(\.types) {
            questions[type.status.key, default: [:]][type.status.type.typeURL, default: []]
                .formUnion(type.missingNames.map(\.name))
        }
        let asked = questions
        let homes = Set(asked.keys.map { Placement.home(of: $0, workers: count) })
        let absent = Set(missing)
        self.gather { (worker: Worker, done: @escaping @Sendable (HomeFacts) -> Void) in
            guard homes.contains(worker.index) else { return done([:]) }
            worker.homes.whenHere(Array(asked.keys)) { homes in
                var facts: HomeFacts = [:]
                for (key, types) in asked {
                    guard let home = homes.groups[key] else { continue }
                    for (url, names) in types {
                        facts[key, default: [:]][url] =
                            home.group.explain(typeURL: url, names: names.sorted(), now: homes.loop.now)
                    }
                }
                done(facts)
            }
        } except: {
            absent.contains($0)
        } render: { [self] gathered in
            var facts: HomeFacts = [:]
            for part in gathered.parts { facts.merge(part) { first, _ in first } }
            self.write(ClientPage(streams: streams, facts: facts, missing: gathered.missing), answer)
        }
    }

    private struct ClientPage {
        var streams: [StreamExplanation]
        var facts: HomeFacts
        var missing: [Int]

        func origins(of type: TypeExplanation) -> [OriginExplanation] {
            self.facts[type.status.key]?[type.status.type.typeURL] ?? []
        }
    }

    private func write(_ page: ClientPage, _ answer: AdminAnswer) {
        guard let first = page.streams.first else { return }
        let node = first.status.node.flatMap { try? Node(decoding: $0.encoded) } ?? Node(id: first.status.nodeID)
        let rules = self.explanation(
            of: RuleRequest(
                node: node, typeURL: answer.typeURL() ?? first.types.first?.status.type.typeURL ?? "",
                peerAddress: first.peer.address, peerSANs: first.peer.names,
                resourceNames: Self.list(answer.query("resources"))))
        if answer.wantsText { return answer.text(200, rules.text + Self.text(page)) }
        var clients = JSONWriter()
        clients.array { list in for stream in page.streams { Self.write(stream, page, to: &list) } }
        var tail = JSONWriter()
        tail.object {
            $0.field("clients", raw: clients.bytes)
            $0.missing(page.missing)
        }
        // One object of both: what the rules say, then the clients.
        answer.respond(
            200, "application/json",
            Array(rules.json.utf8).dropLast() + [UInt8(ascii: ",")] + tail.bytes.dropFirst() + [UInt8(ascii: "\n")])
    }

    // MARK: JSON

    private static func write(_ stream: StreamExplanation, _ page: ClientPage, to list: inout JSONWriter) {
        let status = stream.status
        list.object {
            $0.field("node", status.nodeID)
            $0.field("peer", status.peer)
            $0.field("key", status.key)
            $0.field("service", status.service)
            $0.field("protocol", status.variant.rawValue)
            $0.field("since", status.since.rfc3339)
            $0.object("types") { types in
                for type in stream.types {
                    types.object(type.status.type.label) { Self.write(type, page.origins(of: type), to: &$0) }
                }
            }
        }
    }

    private static func write(
        _ type: TypeExplanation, _ origins: [OriginExplanation], to object: inout JSONWriter
    ) {
        let status = type.status
        let own = origins.first
        object.array("subscribed") {
            if status.wildcard { $0.value("*") }
            for name in status.names.prefix(StreamExplanation.namesMax) { $0.value(name) }
        }
        object.field("subscribed_count", status.subscribed.names.count)
        object.field("state", status.state.rawValue)
        object.field("sent", status.sent)
        object.field("acked", status.acked)
        object.field("upstream_version", own?.version)
        Self.write(status.rejection, to: &object)
        Self.write(own?.hold, to: &object)
        Self.write(own?.rollout, to: &object)
        Self.writeWaiting(Self.waiting(type, own), to: &object)
        object.object("resources") {
            $0.field("accepted", type.accepted)
            $0.field("sent", type.sent)
            $0.field("rejected", type.rejected)
            $0.field("missing", type.missing)
            $0.field("not_looked_at", type.unexamined)
        }
        object.array("missing") { list in
            for missing in type.missingNames.sorted(by: { $0.name < $1.name }) {
                let reason = MissingReason.of(missing, nonce: status.nonce, origins)
                list.object {
                    $0.field("name", missing.name)
                    $0.field("reason", reason.word.rawValue)
                    $0.field("detail", reason.detail)
                }
            }
        }
    }

    private static func writeWaiting(_ reason: MissingReason?, to object: inout JSONWriter) {
        guard let reason = reason else {
            object.key("waiting")
            return object.null()
        }
        object.object("waiting") {
            $0.field("reason", reason.word.rawValue)
            $0.field("detail", reason.detail)
        }
    }

    /// What the type as a whole waits for, if it does.
    private static func waiting(_ type: TypeExplanation, _ own: OriginExplanation?) -> MissingReason? {
        if type.status.state == .sent {
            return MissingReason(
                .waitingForACK, "the client has not answered the response with nonce \(type.status.nonce.text)")
        }
        guard type.awaitsWildcard else { return nil }
        guard let own = own else {
            return MissingReason(.unknown, "the worker that is home to the group did not answer")
        }
        return MissingReason.ofUpstream(own)
            ?? MissingReason(.waitingForUpstream, "upstream \(own.upstream) was asked and has not answered")
    }

    // MARK: Text

    private static func text(_ page: ClientPage) -> String {
        var lines: [String] = []
        for stream in page.streams {
            let status = stream.status
            lines.append(
                "client: \(status.nodeID) \(status.peer), \(status.service) \(status.variant.rawValue), key \(status.key)"
            )
            for type in stream.types { lines += Self.lines(type, page.origins(of: type)) }
        }
        if !page.missing.isEmpty { lines.append("no answer from worker \(page.missing)") }
        return lines.joined(separator: "\n") + "\n"
    }

    private static func lines(_ type: TypeExplanation, _ origins: [OriginExplanation]) -> [String] {
        let status = type.status
        let asked = (status.wildcard ? ["*"] : []) + status.names.prefix(4)
        let more = status.subscribed.names.count > 4 ? ", ... (\(status.subscribed.names.count) names)" : ""
        var lines = [
            "  \(status.type.label): \(status.state.rawValue), sent \(status.sent), acked \(status.acked)",
            "    subscribed: \(asked.joined(separator: ", "))\(more)",
            "    resources: \(type.accepted) accepted, \(type.sent) sent, \(type.rejected) rejected, "
                + "\(type.missing) missing",
        ]
        if let nack = status.rejection { lines.append("    rejected: version \(nack.version): \(nack.message)") }
        if let hold = origins.first?.hold { lines.append("    held: version \(hold.version): \(hold.detail)") }
        if let waiting = Self.waiting(type, origins.first) { lines.append("    waiting: \(waiting.detail)") }
        for missing in type.missingNames.sorted(by: { $0.name < $1.name }) {
            let reason = MissingReason.of(missing, nonce: status.nonce, origins)
            lines.append("    missing \(missing.name): \(reason.word.rawValue): \(reason.detail)")
        }
        let left = type.missing - type.missingNames.count
        if left > 0 { lines.append("    missing: \(left) more") }
        return lines
    }
}
