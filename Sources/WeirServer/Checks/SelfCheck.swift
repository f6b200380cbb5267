import WeirBase
import WeirConfig
import WeirEngine
import WeirHTTP2
import WeirLoop
import WeirObserve
import WeirXDS

/// The self-check client of one worker: a proxy of the relay's own, on the worker's shard. Confined to its loop.
///
/// It is in the process because listeners may ask for certificates that the relay does not have, and because a way past
/// them would be a way in. So it sees everything between the upstream's bytes and the transport: the home, the mailbox, the
/// view and the encoding. `weir_push_seconds` has the rest.
///
/// Every `interval` it leaves the group it is in and joins the next one as a new client would. It must be answered; the
/// home then says which state it published last, and that must be here. In between it takes pushes as they come.
final class SelfCheck {
    /// Of its stream; none of a client has it.
    static let handle = UInt64.max

    /// Holds this.
    private unowned let worker: Worker
    private let shared: RelayShared
    private var settings: CheckConfiguration.Freshness
    private var place: SelfCheckPlace?
    private var hasStream = false
    private var question: SelfCheckQuestion?
    private var nextAt: Instant?
    /// Responses that were taken in this turn and are acknowledged in the next one.
    private var taken: [(body: SharedBody, nonce: Nonce)] = []
    private var generator: SeededGenerator

    init(worker: Worker, settings: CheckConfiguration.Freshness) {
        self.worker = worker
        self.shared = worker.shared
        self.settings = settings
        self.generator = SeededGenerator(
            seed: UInt64(bitPattern: Loop.monotonicNow().rawValue) ^ UInt64(worker.index) << 48)
    }

    func reload(_ settings: CheckConfiguration.Freshness) {
        self.settings = settings
        self.nextAt = nil
    }

    private var now: Instant { self.worker.loop.now }

    /// To be called ten times a second.
    func tick() {
        guard self.settings.interval > .zero, !self.worker.isDraining else { return self.switchOff() }
        self.shared.freshness.noteTick(self.worker.index, self.now)
        // What the shard has made for the client must reach it before it goes elsewhere: it is counted out on arrival.
        guard self.worker.shard.sends.isEmpty else { return }
        if let place = self.place, self.hasStream, !self.worker.shard.keepsSelfCheck(place) {
            // The last client of the group has gone: nothing is followed for the check's sake.
            self.leave()
            self.settle()
        }
        if let question = self.question { self.look(question) }
        guard let due = self.nextAt else {
            self.nextAt = self.now + self.jittered()
            return
        }
        guard due <= self.now else { return }
        self.nextAt = self.now + self.jittered()
        self.ask()
    }

    /// Give or take a quarter, so that workers do not ask together.
    private func jittered() -> Nanoseconds {
        Nanoseconds(
            rawValue: self.settings.interval.rawValue / 100 * Int64.random(in: 75...125, using: &self.generator))
    }

    private func switchOff() {
        guard self.nextAt != nil, self.worker.shard.sends.isEmpty else { return }
        self.nextAt = nil
        self.leave()
        self.settle()
        self.shared.freshness.noteOff(self.worker.index)
    }

    private func leave() {
        self.worker.shard.closeSelfCheck()
        self.hasStream = false
        self.taken = []
        self.worker.loop.turnAgain()
    }

    // MARK: Asking

    private func ask() {
        // One that is late already says more than another that is not.
        guard self.question == nil else { return }
        self.leave()
        let places = self.worker.shard.selfCheckPlaces.sorted()
        guard let first = places.first else {
            self.place = nil
            return self.settle()
        }
        let last = self.place
        let place = last.flatMap { last in places.first { $0 > last } } ?? first
        self.place = place
        self.hasStream = self.worker.shard.openSelfCheck(handle: Self.handle, place)
        self.shared.freshness.update(self.worker.index) { $0.place = Self.text(place) }
        self.question = SelfCheckQuestion(.answer, at: self.now)
        // What is too large to be asked for is compared all the same.
        if !self.hasStream { self.askHome(place) }
    }

    private static func text(_ place: SelfCheckPlace) -> String {
        "\(XDSType.of(typeURL: place.typeURL).label) of key \"\(place.key)\""
    }

    /// Asks the home of the group, on whatever worker it is.
    private func askHome(_ place: SelfCheckPlace) {
        self.question = SelfCheckQuestion(.home, at: self.now)
        let links = self.shared.links
        let own = self.worker.index
        let home = Placement.home(of: place.key, workers: links.count)
        links[home].post(
            .perform { worker in
                let generation = worker.homes.groups[place.key]?.published[place.typeURL]
                links[own].post(.perform { $0.selfCheck.told(place, generation) })
            })
    }

    private func told(_ place: SelfCheckPlace, _ generation: Generation?) {
        guard place == self.place, case .home? = self.question?.stage else { return }
        guard let generation = generation else { return self.settle() }
        self.question?.move(to: .state(generation), at: self.now)
        if let question = self.question { self.look(question) }
    }

    // MARK: Waiting

    private func look(_ question: SelfCheckQuestion) {
        guard let place = self.place else { return self.settle() }
        let verdict = question.verdict(
            here: self.worker.shard.selfCheckGeneration(place),
            isCurrent: !self.hasStream || self.worker.shard.isSelfCheckCurrent, now: self.now,
            lagMax: self.settings.lagMax)
        switch verdict {
        case .waiting: break
        case .fresh:
            self.shared.metrics.checks.freshness(.fresh).add(1)
            self.settle()
        case .late: if self.trouble == nil { self.alarm(question, place) }
        case .over: self.settle()
        }
    }

    private var trouble: FreshnessBoard.Trouble? { self.shared.freshness.entry(self.worker.index).trouble }

    private func alarm(_ question: SelfCheckQuestion, _ place: SelfCheckPlace) {
        let text: String
        switch question.stage {
        case .answer:
            text = "\(Self.text(place)): a new client gets no answer"
            self.shared.metrics.checks.freshness(.unanswered).add(1)
        case .home:
            text = "\(Self.text(place)): the worker that is home to the key does not answer"
            self.shared.metrics.checks.freshness(.unanswered).add(1)
        case .state:
            text = "\(Self.text(place)): the newest state has not come to its clients"
            self.shared.metrics.checks.freshness(.behind).add(1)
        }
        let since = question.askedAt
        self.shared.freshness.update(self.worker.index) { $0.trouble = .init(since: since, text: text) }
        self.shared.logger.log(
            .error, "the self-check client is not served as it should be",
            [("worker", String(self.worker.index)), ("what", text)])
    }

    /// Nothing is waited for any more.
    private func settle() {
        self.question = nil
        guard let trouble = self.trouble else { return }
        let now = self.now
        self.shared.freshness.update(self.worker.index) { $0.trouble = nil }
        self.shared.logger.log(
            .warning, "the self-check client is served again",
            [("worker", String(self.worker.index)), ("after", "\((now - trouble.since).seconds)s")])
    }

    // MARK: Being served

    /// A response, in the round in which the shard made it. It is looked at when the clients' are on their way.
    func receive(_ body: SharedBody, _ nonce: Nonce) {
        guard let place = self.place, let receivedAt = self.worker.shard.selfCheckTook(place) else { return }
        if self.taken.isEmpty { self.worker.loop.runSoon { [weak self] in self?.accept() } }
        self.taken.append((body, nonce))
        let wall = Loop.wallNow()
        self.shared.freshness.update(self.worker.index) { $0.answeredAt = wall }
        // The first answer says how old the content is, not how long it took.
        if case .answer? = self.question?.stage { return }
        self.shared.metrics.checks.freshness(worker: self.worker.index).observe(Loop.monotonicNow() - receivedAt)
    }

    private func accept() {
        guard let place = self.place else { return }
        self.worker.setTime()
        var isReadable = true
        for (body, nonce) in self.taken {
            let bytes = body.bytes
            // Behind gRPC's prefix; the nonce is apart.
            let start = min(GRPCFrame.prefixCount, bytes.count)
            isReadable =
                self.worker.shard.acceptSelfCheck(place, bytes.span.extracting(start..<bytes.count), nonce: nonce)
                && isReadable
        }
        self.taken.removeAll(keepingCapacity: true)
        self.worker.loop.turnAgain()
        // What cannot be read is no answer.
        if isReadable, case .answer? = self.question?.stage { self.askHome(place) }
    }
}
