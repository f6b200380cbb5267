import WeirBase
import WeirEngine
import WeirHTTP1
import WeirLoop
import WeirObserve
import WeirXDS

/// What an operator does to a group: carried out by the key's home.
extension AdminServer {
    func command(_ answer: AdminAnswer, _ caller: String) {
        let peer = answer.request.peer
        let who = caller == AdminAccess.anonymous ? peer : "\(caller), \(peer)"
        let path = answer.request.path
        guard let key = answer.query("key") else { return answer.error(400, "POST \(path) needs ?key=KEY") }
        let type = answer.query("type").map { XDSType.named($0) ?? XDSType.of(typeURL: $0) }
        let command: KeyCommand
        switch (path, type) {
        case ("/keys/refresh", _): command = .refresh
        case ("/keys/evict", _): command = .evict
        case (_, nil): return answer.error(400, "POST \(path)?key=KEY needs &type=TYPE, as in &type=cds")
        case ("/keys/hold", let type?): command = .hold(typeURL: type.typeURL)
        case ("/keys/release", let type?): command = .release(typeURL: type.typeURL)
        case (_, let type?): command = .rollBack(typeURL: type.typeURL, to: answer.query("to"))
        }
        let home = Placement.home(of: key, workers: self.shared.links.count)
        // Either the worker carries it out, or it is said that it does not: whoever comes first.
        let turn = Turn()
        let isPosted = self.shared.links[home].post(
            .perform { worker in
                guard turn.take() else { return }
                worker.homes.carryOut(command, key: key, by: who) { result in
                    switch result {
                    case .success(let types):
                        self.shared.renderer.run { Self.answer(answer, key, command, types) }
                    case .failure(let refusal):
                        self.noteRefusal(command, key, refusal.message)
                        answer.error(refusal.kind == .notFound ? 404 : 409, refusal.message)
                    }
                }
            })
        let refuse: @Sendable () -> Void = {
            guard turn.take() else { return }
            let text = "worker \(home), which is home to the key, does not turn; nothing was done: see /live"
            self.noteRefusal(command, key, text)
            answer.error(503, text)
        }
        if isPosted { self.shared.renderer.run(after: Patience.wedgedAfter, refuse) } else { refuse() }
    }

    /// Something that one of several may do.
    private final class Turn: Sendable {
        private let isTaken = Locked(false)

        func take() -> Bool {
            self.isTaken.withLock { taken in
                defer { taken = true }
                return !taken
            }
        }
    }

    /// That it was asked for is on record already, as everything that changes something.
    private func noteRefusal(_ command: KeyCommand, _ key: String, _ why: String) {
        self.shared.logger.logOften(
            .info, "operator command refused", [("command", command.name), ("key", key), ("reason", why)])
    }

    private static func answer(
        _ answer: AdminAnswer, _ key: String, _ command: KeyCommand, _ types: [OriginTypeStatus]
    ) {
        answer.json { json in
            json.object {
                $0.field("key", key)
                guard let status = types.first(where: { $0.type.typeURL == command.typeURL }) else { return }
                $0.field("type", status.type.label)
                $0.field("version", status.version)
                Self.write(status.hold, to: &$0)
            }
        }
    }

    /// `held` of one type: null or why, since when, and what.
    static func write(_ hold: HoldStatus?, to object: inout JSONWriter) {
        guard let hold = hold else {
            object.key("held")
            return object.null()
        }
        object.object("held") {
            $0.field("reason", hold.reason.rawValue)
            $0.field("since", hold.since.rfc3339)
            $0.field("version", hold.version)
            $0.field("changes", hold.changes)
            $0.field("detail", hold.detail)
        }
    }

    /// `rollout` of one type: null or how the push that is tried stands.
    static func write(_ rollout: RolloutStatus?, to object: inout JSONWriter) {
        guard let rollout = rollout else {
            object.key("rollout")
            return object.null()
        }
        object.object("rollout") {
            $0.field("version", rollout.version)
            $0.field("first", rollout.given)
            $0.field("accepted", rollout.accepted)
            $0.field("rejected", rollout.rejected)
        }
    }
}
