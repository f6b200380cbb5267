import WeirBase
import WeirEngine
import WeirXDS

/// What was pushed, and what was different in it.
extension AdminServer {
    private static let historyLimit = 100
    private static let historyLimitMax = 1000

    func history(_ answer: AdminAnswer) {
        let limit = min(answer.query("limit").flatMap { Int($0) } ?? Self.historyLimit, Self.historyLimitMax)
        let key = answer.query("key")
        let typeURL = answer.query("type").map { XDSType.named($0)?.typeURL ?? $0 }
        let renderer = self.shared.renderer
        self.ask(answer) { journal in
            let pushes = journal.pushes.pushes(key: key, typeURL: typeURL, limit: limit)
            renderer.run { Self.answer(answer, pushes) }
        }
    }

    /// Has the journal's thread do something for an answer.
    func ask(_ answer: AdminAnswer, _ question: @escaping @Sendable (Journal) -> Void) {
        if !self.shared.journal.ask(question) {
            answer.error(503, "the journal does not take anything any more; try again later")
        }
    }

    private static func answer(_ answer: AdminAnswer, _ pushes: [PushSummary]) {
        if answer.wantsText { return answer.table(self.table(pushes)) }
        answer.json { json in
            json.object { $0.array("pushes") { list in for push in pushes { Self.write(push, to: &list) } } }
        }
    }

    private static func write(_ push: PushSummary, to list: inout JSONWriter) {
        list.object {
            $0.field("id", push.id.description)
            $0.field("key", push.key)
            $0.field("type", push.type.label)
            $0.field("version", push.version)
            $0.field("at", push.at.rfc3339)
            $0.field("upstream", push.upstream)
            $0.field("server", push.server)
            $0.field("added", push.added.names)
            $0.field("changed", push.changed.names)
            $0.field("removed", push.removed.names)
            $0.field("names_left_out", push.added.leftOut + push.changed.leftOut + push.removed.leftOut)
            $0.field("outcome", push.outcome.text)
            $0.field("detail", push.detail)
            $0.field("repeats", push.repeats)
            $0.field("responses", push.responses)
            Self.write("written_ms", push.written, to: &$0)
            Self.write("acked_ms", push.acked, to: &$0)
            $0.array("nacks") { nacks in
                for nack in push.nacks {
                    nacks.object {
                        $0.field("node", nack.node)
                        $0.field("message", nack.message)
                    }
                }
            }
            $0.field("nack_count", push.nackCount)
        }
    }

    private static func write(_ name: String, _ span: Nanoseconds?, to object: inout JSONWriter) {
        guard let span = span else {
            object.key(name)
            return object.null()
        }
        // Microseconds are as exact as it gets.
        object.field(name, Double(max(0, span.rawValue) / 1_000) / 1_000)
    }

    private static func table(_ pushes: [PushSummary]) -> TextTable {
        var table = TextTable([
            "ID", "AT", "KEY", "TYPE", "VERSION", "OUTCOME", "ADDED", "CHANGED", "REMOVED", "WRITTEN", "ACKED", "NACKS",
            "UPSTREAM",
        ])
        for push in pushes {
            table.add([
                push.id.description, push.at.rfc3339, push.key, push.type.label, push.version, push.outcome.text,
                String(push.added.count), String(push.changed.count), String(push.removed.count),
                Self.text(push.written), Self.text(push.acked), String(push.nackCount),
                push.server.isEmpty ? push.upstream : "\(push.upstream) (\(push.server))",
            ])
        }
        return table
    }

    private static func text(_ span: Nanoseconds?) -> String {
        guard let span = span else { return "-" }
        return "\(Double(max(0, span.rawValue) / 1_000) / 1_000)ms"
    }
}
