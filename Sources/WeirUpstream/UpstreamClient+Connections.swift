import WeirBase
import WeirEngine
package import WeirHTTP2
import WeirLoop
import WeirObserve
package import WeirTransport

/// Getting connections, and what happens to them.
extension UpstreamClient {
    /// A server that is tried out has this long to answer, as long as proxies wait for a first answer.
    private static let answerTimeout = Nanoseconds.seconds(15)
    /// No server makes us wait longer than this before we look whether it is there.
    private static let patienceMax = Nanoseconds.seconds(7200)

    /// A connection to a server that can be used, or one more to the one in use.
    func connectIfNeeded() {
        guard self.attempt == nil else { return }
        let now = self.now
        if let current = self.selection.current {
            if self.anotherAt <= now { self.begin(current, .another) }
        } else if let server = self.selection.choose(now) {
            self.begin(server, .candidate)
        }
    }

    func begin(_ server: Int, _ purpose: UpstreamAttempt.Purpose) {
        let attempt = UpstreamAttempt(server: server, purpose: purpose, startedAt: self.now)
        if purpose == .trial { self.trial = attempt } else { self.attempt = attempt }
        if purpose == .candidate, !self.statuses[server].lastError.isEmpty {
            self.observer.upstreamTriesAgain(self.name)
        }
        if purpose != .another {
            self.statuses[server].state = .connecting
            self.publish()
        }
        if let error = self.tls?.error { return self.failed(attempt, error) }
        let endpoint = self.settings.servers[server]
        switch endpoint {
        case .unix(let path): self.connect(attempt, .unix(path: path), host: nil)
        case .tcp(let host, _):
            attempt.lookUp = self.resolver.resolve(endpoint) { [weak self] result in
                self?.resolved(attempt, result, host: host)
            }
        }
    }

    private func resolved(_ attempt: UpstreamAttempt, _ result: ResolveResult, host: String) {
        attempt.lookUp = nil
        guard self.isUnderWay(attempt), !self.isClosing else { return }
        switch result {
        case .failed(let text): self.failed(attempt, text)
        case .addresses(let addresses):
            guard !addresses.isEmpty else { return self.failed(attempt, "\(host) has no address") }
            self.connect(attempt, addresses[self.addressIndex % addresses.count], host: host)
            self.addressIndex &+= 1
        }
    }

    /// gRPC servers end connections whose PINGs come too often for them, and by default more often than every 5 minutes is
    /// too often. As gRFC A8 has it, the next connection to the server is twice as patient.
    private func slowDown(_ server: String) {
        let interval = max(self.options.keepaliveInterval, self.patience[server] ?? .zero)
        guard interval > .zero else { return }
        let doubled = min(Nanoseconds(rawValue: interval.rawValue * 2), max(interval, Self.patienceMax))
        self.patience[server] = doubled
        self.observer.note(
            .warning, "the upstream's server calls keepalive PINGs too many: they are sent more rarely from now on",
            [("upstream", self.name), ("server", server), ("interval", "\(doubled.seconds)s")])
    }

    private func isUnderWay(_ attempt: UpstreamAttempt) -> Bool { self.attempt === attempt || self.trial === attempt }

    private func connect(_ attempt: UpstreamAttempt, _ address: SocketAddress, host: String?) {
        var options = self.options
        if options.keepaliveInterval > .zero, let patience = self.patience[self.statuses[attempt.server].address] {
            options.keepaliveInterval = max(options.keepaliveInterval, patience)
        }
        let connection = ClientConnection(
            transport: self.transport, context: self.context, address: address, options: options,
            tls: self.tls?.context, host: host, delegate: self)
        connection.userData = UInt64(attempt.server)
        attempt.connection = connection
    }

    /// What is not there in time: connections look after themselves, look-ups and answers are looked after here.
    func checkAttempts(_ now: Instant) {
        for attempt in [self.attempt, self.trial].compactMap({ $0 }) {
            if attempt.lookUp != nil, now - attempt.startedAt >= self.settings.connectTimeout {
                let limit = self.settings.connectTimeout.seconds
                self.failed(
                    attempt, "the address of \(self.statuses[attempt.server].address) was not there within \(limit) s")
            } else if let question = attempt.question {
                let waited = now - question.askedAt
                if waited >= Self.answerTimeout {
                    self.failed(attempt, "connected, but no answer within \(Self.answerTimeout.seconds) s")
                } else if !question.expectsAnswer, waited >= self.settings.connectTimeout {
                    self.passed(attempt)
                }
            }
        }
    }

    // MARK: Failures

    private func failed(_ attempt: UpstreamAttempt, _ error: String) {
        if let lookUp = attempt.lookUp.take() { self.resolver.cancel(lookUp) }
        if let question = attempt.question { self.calls.remove(question.call) }
        if self.trial === attempt { self.trial = nil }
        if self.attempt === attempt { self.attempt = nil }
        attempt.connection?.close(error)
        let server = attempt.server
        switch attempt.purpose {
        case .candidate:
            self.noteFailure(server, error, .warning)
            self.selection.candidateFailed(self.now, using: &self.generator)
            self.afterFailure(server, error)
        case .trial:
            self.noteFailure(server, error, .info)
            self.selection.trialFailed(self.now, using: &self.generator)
        case .another:
            self.anotherAt = self.now + self.settings.backoffInitial
            self.observer.note(
                .warning, "no further connection to the upstream's server",
                [("upstream", self.name), ("server", self.statuses[server].address), ("error", error)])
        }
    }

    private func noteFailure(_ server: Int, _ error: String, _ level: LogLevel) {
        self.statuses[server].state = .failed
        self.statuses[server].lastError = error
        self.statuses[server].connectedSince = nil
        self.publish()
        self.observer.note(
            level, "upstream server unavailable",
            [("upstream", self.name), ("server", self.statuses[server].address), ("error", error)])
    }

    /// The next server at once, or, when all rest, some time later.
    private func afterFailure(_ server: Int, _ error: String) {
        if self.selection.isResting(self.now) { self.rest(self.statuses[server].address, error) }
        self.pump()
    }

    /// The server in use is of no use.
    func leaveCurrent(_ error: String) {
        guard let current = self.selection.current else { return }
        self.noteFailure(current, error, .warning)
        let left = self.connections.filter { $0.userData == UInt64(current) }
        self.connections.removeAll { $0.userData == UInt64(current) }
        self.cancelTrial()
        self.selection.lost(self.now, using: &self.generator)
        self.moveStreams(from: left, reason: error)
        self.wakeStreams()
        for connection in left { connection.close(error) }
        self.afterFailure(current, error)
    }

    /// Without a server in use there is nothing to try another one out beside of.
    private func cancelTrial() {
        guard let trial = self.trial.take() else { return }
        if let lookUp = trial.lookUp { self.resolver.cancel(lookUp) }
        if let question = trial.question { self.calls.remove(question.call) }
        trial.connection?.close("not needed any more")
        self.statuses[trial.server].state = .idle
        self.selection.trialCancelled()
    }

    // MARK: Successes

    private func use(_ connection: ClientConnection, _ server: Int) {
        self.connections.append(connection)
        self.statuses[server].state = .connected
        // A server that only connects is no better than it was.
        if !self.unanswering.contains(self.statuses[server].address) { self.statuses[server].lastError = "" }
        self.statuses[server].connectedSince = Loop.wallNow()
        self.publish()
        self.observer.note(
            .info, "upstream connected", [("upstream", self.name), ("server", self.statuses[server].address)])
    }

    /// Asks the server that is tried out what a group asks; its answer is all that counts.
    private func ask(_ attempt: UpstreamAttempt, _ connection: ClientConnection) {
        guard let request = self.delegate?.trialRequest(self) else { return self.passed(attempt) }
        let call = self.calls.insert(.trial)
        guard let stream = connection.open(self.head(self.discoveryPath, connection), userData: call.packed) else {
            self.calls.remove(call)
            return self.failed(attempt, "the server lets no stream be opened")
        }
        attempt.question = UpstreamAttempt.Question(
            stream: stream, call: call, askedAt: self.now, expectsAnswer: request.expectsAnswer)
        do throws(StreamRefusal) {
            try connection.send(stream, GRPCFrame.body(request.message))
        } catch {
            connection.cancel(stream)
        }
    }

    /// A better server answers: everything moves to it.
    private func passed(_ attempt: UpstreamAttempt) {
        guard let connection = attempt.connection, self.trial === attempt else { return }
        let before = self.selection.current
        self.trial = nil
        if let question = attempt.question {
            self.calls.remove(question.call)
            connection.cancel(question.stream)
        }
        self.selection.trialPassed(self.now)
        self.use(connection, attempt.server)
        self.wakeStreams()
        let old = self.connections.filter { $0.userData == before.map { UInt64($0) } }
        self.leave(old, "a server that is preferred is back")
        if let before = before {
            self.statuses[before].state = .idle
            self.statuses[before].connectedSince = nil
        }
        self.publish()
        self.pump()
    }

    private func leave(_ old: [ClientConnection], _ reason: String) {
        self.connections.removeAll { connection in old.contains { $0 === connection } }
        self.moveStreams(from: old, reason: reason)
        for connection in old { connection.close(reason) }
    }
}

// MARK: - Connection events

extension UpstreamClient: ClientConnectionDelegate {
    package func connected(_ connection: ClientConnection) {
        if let trial = self.trial, trial.connection === connection { return self.ask(trial, connection) }
        guard let attempt = self.attempt, attempt.connection === connection else { return }
        guard connection.openable > 0 else { return self.failed(attempt, "the server lets no stream be opened") }
        self.attempt = nil
        if attempt.purpose == .candidate { self.selection.connected(self.now) }
        self.use(connection, attempt.server)
        // What is still on a server that is not configured any more has somewhere to go now.
        self.leave(self.connections.filter { $0.userData == Self.noServer }, "the server is not configured any more")
        self.pump()
    }

    package func openableChanged(_ connection: ClientConnection) { self.pump() }

    package func answered(_ connection: ClientConnection, _ stream: Int32) {}

    package func message(_ connection: ClientConnection, _ stream: Int32, _ bytes: Span<UInt8>) {
        guard let packed = connection.userData(stream) else { return }
        switch self.calls[SlotID(packed: packed)] {
        case .discovery(let id)?: self.noteMessage(id, on: connection, bytes)
        case .forwarded(let call)?: call.delegate?.received(call, bytes)
        case .trial?: if let trial = self.trial { self.passed(trial) }
        case nil: break
        }
    }

    package func drained(_ connection: ClientConnection, _ stream: Int32) {
        guard let packed = connection.userData(stream),
            case .forwarded(let call)? = self.calls[SlotID(packed: packed)]
        else { return }
        call.delegate?.drained(call)
    }

    package func streamEnded(_ connection: ClientConnection, _ stream: Int32, _ end: StreamEnd) {
        guard let packed = connection.userData(stream) else { return }
        switch self.calls.remove(SlotID(packed: packed)) {
        case .discovery(let id)?: self.discoveryEnded(id, end, on: connection)
        case .forwarded(let call)?: call.end(end.status, end.message)
        case .trial?:
            guard let trial = self.trial else { return }
            self.failed(trial, "connected, but the stream ends: \(end.description)")
        case nil: break
        }
    }

    package func draining(_ connection: ClientConnection, _ goAway: GoAway) {
        self.observer.note(
            .info, "upstream asks to go elsewhere",
            [("upstream", self.name), ("server", self.address(of: connection)), ("goaway", goAway.description)])
        if goAway.code == .enhanceYourCalm, goAway.debug == "too_many_pings" {
            self.slowDown(self.address(of: connection))
        }
        if let trial = self.trial, trial.connection === connection {
            return self.failed(trial, "connected, but it asks to go elsewhere")
        }
        guard let current = self.selection.current, connection.userData == UInt64(current),
            self.connections.contains(where: { $0 === connection }),
            !self.connections.contains(where: { $0.userData == connection.userData && !$0.isDraining })
        else { return }
        // What was asked of it would never be answered.
        guard self.selection.hasAnswered else {
            self.unanswering.insert(self.statuses[current].address)
            return self.leaveCurrent("it asks to go elsewhere before it has answered: \(goAway.description)")
        }
        self.selection.askedToLeave(self.now, using: &self.generator)
        self.cancelTrial()
        self.pump()
    }

    package func closed(_ connection: ClientConnection, _ end: ConnectionEnd) {
        for attempt in [self.attempt, self.trial].compactMap({ $0 }) where attempt.connection === connection {
            return self.failed(attempt, end.reason)
        }
        guard let index = self.connections.firstIndex(where: { $0 === connection }) else { return }
        self.connections.remove(at: index)
        guard !self.isClosing else { return }
        let server = connection.userData
        guard let position = Int(exactly: server), self.statuses.indices.contains(position),
            !self.connections.contains(where: { $0.userData == server })
        else { return self.pump() }
        if self.selection.current == position {
            self.noteFailure(position, end.reason, .warning)
            self.cancelTrial()
            self.selection.lost(self.now, using: &self.generator)
            self.wakeStreams()
            self.afterFailure(position, end.reason)
        } else {
            if self.statuses[position].state == .connected {
                self.statuses[position].state = .idle
                self.statuses[position].connectedSince = nil
                self.publish()
            }
            self.pump()
        }
    }
}
