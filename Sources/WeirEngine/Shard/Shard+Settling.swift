import WeirBase
import WeirXDS

/// Which type streams newer content is held back from, and when all of a view have the newest.
extension Shard {
    // MARK: Falling behind

    /// Notes that newer content is held back from a type stream.
    func fallBehind(_ index: Int32, in view: TypeView) {
        self.unsettle(index, in: view)
        guard !self.typeStreams[Int(index)].isBehind else { return }
        self.typeStreams[Int(index)].isBehind = true
        self.links[Int(self.typeStreams[Int(index)].stream)].pending += 1
        view.behind += 1
        self.behind.insert(index)
    }

    func caughtUp(_ index: Int32) {
        guard self.typeStreams[Int(index)].isBehind else { return }
        self.typeStreams[Int(index)].isBehind = false
        self.links[Int(self.typeStreams[Int(index)].stream)].pending -= 1
        self.view(of: index)?.behind -= 1
        self.behind.remove(index)
    }

    /// Whether bytes of an earlier round are still stuck in the transport: then nothing more is handed over, and the
    /// newest state goes out when they have left.
    func isStuck(_ stream: Int32) -> Bool {
        let link = self.links[Int(stream)]
        return link.hasUnsent && (link.sentRound != self.round || link.queued >= Self.queuedMax)
    }

    /// Whether a stream was handed so many messages that the transport has no room for many more.
    func isFull(_ stream: Int32) -> Bool { self.links[Int(stream)].queued >= Self.queuedMax }

    /// Messages of one stream in the transport, beyond which it is handed no more. What one turn brings of all known types
    /// may come on top.
    private static let queuedMax: Int32 = 24

    // MARK: Convergence

    func unsettle(_ index: Int32, in view: TypeView) {
        guard !self.typeStreams[Int(index)].isUnsettled else { return }
        self.typeStreams[Int(index)].isUnsettled = true
        view.unsettled += 1
    }

    func settle(_ index: Int32) {
        if let view = self.view(of: index) { self.settle(index, in: view) }
    }

    func settle(_ index: Int32, in view: TypeView) {
        guard self.typeStreams[Int(index)].isUnsettled else { return }
        self.typeStreams[Int(index)].isUnsettled = false
        view.unsettled -= 1
        if view.unsettled == 0 { self.noteSettled(view) }
        if view.unsettled == 0, !view.convergenceReported {
            view.convergenceReported = true
            self.events.append(.converged(type: view.type, after: self.now - view.receivedAt))
        }
    }
}
