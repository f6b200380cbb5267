import WeirBase
import WeirConfig
import WeirEngine
import WeirHTTP2
import WeirLoop
import WeirObserve
import WeirRules
import WeirTransport
import WeirXDS

/// `envoy.service.status.v3.ClientStatusDiscoveryService` of one worker (SVC-01 to SVC-04).
///
/// A question goes to all workers, which look at their streams in pieces between their rounds; what they find becomes an
/// answer on the debug endpoint's thread, and comes back here. Confined to the worker's loop.
final class ClientStatusService {
    /// Holds the services.
    private unowned let worker: Worker
    private var questions: [UInt64: Question] = [:]
    private var lastQuestion: UInt64 = 0

    /// Questions that the whole process works on at once. Each holds at most an answer's size for each worker.
    private static let questionsMax = 8
    /// An answer that has not come after this does not come.
    private static let patience = Nanoseconds.seconds(30)

    private struct Question {
        var since: Instant
        var done: (Answer) -> Void
    }

    enum Answer {
        case response([UInt8])
        case refused(GRPCStatus, String)
    }

    init(worker: Worker) { self.worker = worker }

    func open(_ method: ServiceMethod, _ call: ServiceCall) -> (any ServiceStream)? {
        let allowed = self.worker.shared.configuration.downstream.clientStatus.allowedSANs
        guard allowed.isEmpty || call.peer.names.contains(where: { name in allowed.contains { $0.matches(name) } })
        else {
            self.worker.shared.metrics.rejected(.notAllowed).add(1)
            call.finish(.permissionDenied, "not one of downstream.client_status.allowed_sans")
            return nil
        }
        if method == .streamClientStatus { return Stream(self, call) }
        return UnaryCall(call) { [unowned self] call, bytes in
            self.ask(bytes) { answer in
                switch answer {
                case .response(let message):
                    call.send(message)
                    call.finish(.ok)
                case .refused(let status, let text): call.finish(status, text)
                }
            }
        }
    }

    // MARK: Questions

    /// Answers a `ClientStatusRequest`, later or at once, exactly once.
    private func ask(_ bytes: Span<UInt8>, _ done: @escaping (Answer) -> Void) {
        let request: ClientStatusRequest
        let matchers: [NodeMatcher]
        do {
            request = try ClientStatusRequest(decoding: bytes)
            matchers = try NodeMatcher.read(request.nodeMatchers, in: bytes)
        } catch {
            return done(.refused(.invalidArgument, "the ClientStatusRequest cannot be used: \(error)"))
        }
        let shared = self.worker.shared
        guard shared.statusQuestions.reserve(max: Self.questionsMax) else {
            shared.metrics.rejected(.tooManyQueries).add(1)
            return done(.refused(.resourceExhausted, "\(Self.questionsMax) such questions are being answered already"))
        }
        self.lastQuestion += 1
        self.questions[self.lastQuestion] = Question(since: self.worker.loop.now, done: done)
        self.collect(self.lastQuestion, matchers, request.excludesContents)
    }

    private func collect(_ question: UInt64, _ matchers: [NodeMatcher], _ excludesContents: Bool) {
        let shared = self.worker.shared
        let home = shared.links[self.worker.index]
        let bytesMax = self.worker.shard.policy.maxResponseBytes
        let collector = Collector<DeliveryWalk>(count: shared.links.count) { gathered in
            let walks = gathered.parts
            shared.renderer.run {
                var renderer = ClientStatusRenderer(
                    descriptors: shared.descriptors, excludesContents: excludesContents, bytesMax: bytesMax)
                let outcome = renderer.render(walks)
                home.post(.perform { $0.downstream?.services.clientStatus.answered(question, outcome, bytesMax) })
            }
        }
        let walk = DeliveryWalk(budget: bytesMax, countsContents: !excludesContents) { identity in
            guard !matchers.isEmpty else { return true }
            guard let node = try? Node(decoding: identity.encoded) else { return false }
            return matchers.contains { $0.matches(node) }
        }
        for link in shared.links {
            let index = link.index
            link.post(.perform { worker in worker.walk(Walker(walk)) { collector.deliver(index, $0) } })
        }
    }

    private func answered(_ id: UInt64, _ outcome: ClientStatusRenderer.Outcome, _ bytesMax: Int) {
        switch outcome {
        case .response(let bytes): self.settle(id, .response(bytes))
        case .tooLarge:
            let text =
                "the answer is larger than \(bytesMax) bytes (downstream.limits.max_response_size): "
                + "ask for fewer clients by node_matchers, or with exclude_resource_contents"
            self.settle(id, .refused(.resourceExhausted, text))
        }
    }

    private func settle(_ id: UInt64, _ answer: Answer) {
        guard let question = self.questions.removeValue(forKey: id) else { return }
        self.worker.shared.statusQuestions.release()
        question.done(answer)
    }

    /// Gives up what a full mailbox has lost, or a worker that does not turn.
    func tick() {
        guard !self.questions.isEmpty else { return }
        let now = self.worker.loop.now
        for (id, question) in self.questions where now - question.since > Self.patience {
            self.settle(id, .refused(.unavailable, "a worker did not answer within \(Self.patience.seconds) s"))
        }
    }

    // MARK: Streams

    /// StreamClientStatus: one answer to each request, in order; it is no watch.
    private final class Stream: ServiceStream {
        /// Ends with the worker; calls are over before.
        private unowned let service: ClientStatusService
        private let call: ServiceCall
        private var isAsking = false
        private var isHalfClosed = false
        private var isClosed = false

        init(_ service: ClientStatusService, _ call: ServiceCall) {
            self.service = service
            self.call = call
            call.connection.respond(call.stream)
        }

        func message(_ bytes: Span<UInt8>) {
            // The next request waits until this one's answer has left.
            self.call.pause()
            self.isAsking = true
            self.service.ask(bytes) { [weak self] answer in self?.answered(answer) }
        }

        private func answered(_ answer: Answer) {
            self.isAsking = false
            guard !self.isClosed else { return }
            switch answer {
            case .response(let message): self.call.send(message)
            case .refused(let status, let text): return self.call.finish(status, text)
            }
            if self.isHalfClosed { self.call.finish(.ok) }
        }

        func halfClosed() {
            self.isHalfClosed = true
            if !self.isAsking { self.call.finish(.ok) }
        }

        func drained() { self.call.resume() }
        func closed() { self.isClosed = true }
    }
}

/// A walk under way on one worker.
final class Walker {
    fileprivate var walk: DeliveryWalk

    init(_ walk: DeliveryWalk) { self.walk = walk }
}

extension Worker {
    /// Slots, and resources found in them, that are looked at between two rounds.
    private static var slotsPerTurn: Int { 64 }
    private static var resourcesPerTurn: Int { 4096 }

    /// Walks over all streams in pieces, one per turn.
    fileprivate func walk(_ walker: Walker, done: @escaping (DeliveryWalk) -> Void) {
        self.shard.advance(&walker.walk, slots: Self.slotsPerTurn, resources: Self.resourcesPerTurn)
        guard walker.walk.next != nil else { return done(walker.walk) }
        self.loop.runSoon { [weak self] in self?.walk(walker, done: done) }
    }
}
