/// Asks the resolver on behalf of one loop, and calls back on that loop. Confined to it.
package final class ResolverClient {
    /// The most look-ups of one loop that can be under way; one more fails at once.
    package static let requestsMax = 256

    /// Names a look-up, for `cancel`.
    package struct Request: Hashable, Sendable { fileprivate let id: UInt64 }

    private let loop: Loop
    private let resolver: Resolver
    private let mailbox = Mailbox<ResolveReply>(capacity: ResolverClient.requestsMax)
    private var inbox: Inbox<ResolveReply>?
    private var waiting: [UInt64: (ResolveResult) -> Void] = [:]
    /// Includes cancelled look-ups, whose replies still come.
    private var underWay = 0
    private var lastID: UInt64 = 0

    package init(loop: Loop, resolver: Resolver) {
        self.loop = loop
        self.resolver = resolver
        self.inbox = Inbox(loop: loop, mailbox: self.mailbox) { [unowned self] replies in
            for reply in replies { self.received(reply) }
        }
    }

    /// Finds the addresses of an endpoint. `completion` runs exactly once unless cancelled, never before this returns;
    /// a numeric host and a Unix path do not go through the thread.
    @discardableResult
    package func resolve(_ endpoint: Endpoint, completion: @escaping (ResolveResult) -> Void) -> Request {
        self.lastID += 1
        let id = self.lastID
        self.waiting[id] = completion
        if let address = endpoint.numericAddress {
            self.finishSoon(id, .addresses([address]))
        } else if case .tcp(let host, let port) = endpoint, self.ask(host, port, id) {
            self.underWay += 1
        } else {
            self.finishSoon(id, .failed("cannot resolve \"\(endpoint)\" now: too many look-ups wait"))
        }
        return Request(id: id)
    }

    /// The completion of `request` will not run.
    package func cancel(_ request: Request) { self.waiting[request.id] = nil }

    private func ask(_ host: String, _ port: UInt16, _ id: UInt64) -> Bool {
        // Bounded here, so that the reply always finds room in the mailbox.
        self.underWay < Self.requestsMax
            && self.resolver.resolve(host: host, port: port, id: id, replyTo: self.mailbox)
    }

    private func finishSoon(_ id: UInt64, _ result: ResolveResult) {
        self.loop.runSoon { [weak self] in self?.finish(id, result) }
    }

    private func received(_ reply: ResolveReply) {
        self.underWay -= 1
        self.finish(reply.id, reply.result)
    }

    private func finish(_ id: UInt64, _ result: ResolveResult) {
        self.waiting.removeValue(forKey: id)?(result)
    }
}
