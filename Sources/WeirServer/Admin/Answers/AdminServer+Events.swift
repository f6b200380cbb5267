import WeirBase
import WeirEngine
import WeirHTTP1
import WeirXDS

/// Events as they happen, as server-sent events.
extension AdminServer {
    private static let contentType = "text/event-stream"

    func events(_ answer: AdminAnswer) {
        let kinds: Set<EventKind>?
        if let text = answer.query("kind") {
            var chosen: Set<EventKind> = []
            for name in text.split(separator: ",") {
                guard let kind = EventKind(rawValue: String(name)) else {
                    let known = EventKind.allCases.map(\.rawValue).joined(separator: ", ")
                    return answer.error(400, "kind=\(name) is no kind of event; the kinds are \(known)")
                }
                chosen.insert(kind)
            }
            kinds = chosen
        } else {
            kinds = nil
        }
        let filter = EventFilter(
            key: answer.query("key"), node: answer.query("node"),
            typeURL: answer.query("type").map { XDSType.named($0)?.typeURL ?? $0 }, kinds: kinds)
        if answer.request.method == "HEAD" { return answer.respond(200, Self.contentType, []) }
        self.ask(answer) { journal in
            let isNew = journal.listen {
                EventListener(
                    filter,
                    answer.responder.stream(
                        status: 200, contentType: Self.contentType, headers: [("Cache-Control", "no-store")],
                        capacity: EventListener.bytesMax))
            }
            if !isNew {
                answer.error(503, "\(Journal.listenersMax) listen already, which is as many as may; end one of them")
            }
        }
    }
}
