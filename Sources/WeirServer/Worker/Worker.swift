import WeirBase
import WeirConfig
import WeirEngine
import WeirLoop
import WeirObserve
import WeirTransport
import WeirXDS

/// One worker: a loop with its own listeners, connections and shard, and the home of its share of the groups.
///
/// Confined to its loop's thread. Everything that came in during a turn is carried out in one *round* before the loop
/// sleeps: the shard answers and pushes, and homes and shards exchange messages until there are none left. What is for other
/// workers leaves before this one writes, so that all of them write at the same time.
final class Worker {
    let index: Int
    let loop: Loop
    let transport: Transport
    let shared: RelayShared
    let shard: Shard
    let homes: Homes
    let inspector: Inspector
    private(set) var downstream: Downstream?
    /// A client of the relay's own.
    private(set) lazy var selfCheck = SelfCheck(worker: self, settings: self.shared.configuration.checks.freshness)
    private let inbox: Inbox<[WorkerMessage]>
    private let ticker: TimerWatcher
    /// Messages to this worker itself, carried out within the round.
    private var local: [WorkerMessage] = []
    /// Messages to the others, by worker, since the last round.
    private var outgoing: [[WorkerMessage]]
    /// By key; empty nearly always.
    private var preparations: [String: Preparation] = [:]
    /// Those of them that are ready to be told.
    private var prepared: [String] = []
    private(set) var isDraining = false
    private var isInRound = false
    private var isRoundPutOff = false
    private var wasRoundPutOff = false
    private var timeSet = Instant(rawValue: 0)
    private var counters = CounterExport()
    /// The listeners to events that the shard knows of.
    var watchEpoch = 0
    private let keys: KeySource
    /// Counts the reloads of the rules.
    private var rekeyings = 0
    /// Slots of streams looked at in one turn after a reload.
    private static let rekeyedPerTurn = 256

    /// How often time-driven work is looked at: ACK timeouts, cold groups, linger.
    private static let tickInterval = Nanoseconds.milliseconds(100)

    init(index: Int, shared: RelayShared) {
        let loop = Loop()
        self.index = index
        self.loop = loop
        self.inspector = Inspector(loop: loop)
        self.shared = shared
        shared.reports[index].set(loop.pulse)
        loop.onSlowTurn = { length in
            shared.metrics.loopStalls.add()
            shared.logger.logOften(
                .warning, "a turn of a loop took long",
                [("worker", String(index)), ("seconds", String(length.seconds))])
        }
        let configuration = shared.configuration
        let keys = KeySource(KeyResolver(configuration, shared.embedding))
        self.keys = keys
        self.shard = Shard(policy: Self.policy(configuration, shared), resolve: { keys.resolver.resolve($0) })
        let log = TransportLog(shared)
        let transport = Transport(loop: loop, seed: UInt64(bitPattern: Loop.monotonicNow().rawValue)) { log.note($0) }
        self.transport = transport
        self.homes = Homes(transport: transport, worker: index, shared: shared)
        self.outgoing = Array(repeating: [], count: shared.links.count)
        let mailbox = shared.links[index].mailbox
        let box = InboxTarget()
        self.inbox = Inbox(loop: loop, mailbox: mailbox) { batches in box.receive?(batches) }
        let ticks = TickTarget()
        self.ticker = TimerWatcher(loop: loop) { ticks.fire?() }
        // The loop, whose turns call these, is run by a method of the worker, and cancels them when it is over.
        box.receive = { [unowned self] batches in self.receive(batches) }
        ticks.fire = { [unowned self] in self.tick() }
        self.homes.deliver = { [unowned self] worker, message in self.send(message, to: worker) }
    }

    private static func policy(_ configuration: RelayConfiguration, _ shared: RelayShared) -> ShardPolicy {
        var policy = ShardPolicy()
        policy.ackTimeout = configuration.downstream.limits.ackTimeout
        policy.maxResponseBytes = configuration.downstream.limits.responseBytesMax
        policy.firstRequestTimeout = configuration.downstream.limits.firstRequestTimeout
        policy.trustsVersionsOfNames = configuration.downstream.trustsVersionsOfNames
        policy.controlPlaneIdentifier = shared.identifier
        policy.tracksPushes = configuration.admin.history.pushes > 0
        return policy
    }

    /// Opens the listeners, tells `ready` whether that worked, and turns until stopped.
    func run(ready: (StartError?) -> Void) {
        do throws(StartError) {
            self.downstream = try Downstream(worker: self, transport: self.transport)
        } catch {
            return ready(error)
        }
        self.transport.beforeFlush = { [unowned self] in self.round() }
        self.ticker.start(after: Self.tickInterval, every: Self.tickInterval)
        ready(nil)
        self.loop.run()
        self.ticker.cancel()
        self.inbox.cancel()
    }

    /// Closes everything, gives the closing bytes one last turn, and ends the loop.
    private func stop() {
        self.downstream?.closeAll()
        self.homes.closeAll()
        let loop = self.loop
        loop.runSoon { loop.runSoon { loop.stop() } }
    }

    // MARK: Messages

    private func receive(_ batches: [[WorkerMessage]]) {
        self.setTime()
        for batch in batches { for message in batch { self.handle(message) } }
    }

    /// A large update that is being taken in several turns, and what its home has said since.
    private struct Preparation {
        let update: TypeUpdate
        var position = 0
        var later: [WorkerMessage] = []
    }

    /// Keeps what a home says of a group while a large update of it is being taken. Returns false if none is.
    private func keepForLater(_ message: WorkerMessage, _ key: String) -> Bool {
        if self.preparations[key] != nil {
            self.preparations[key]?.later.append(message)
            return true
        }
        guard case .update(_, let update) = message, self.shard.isLarge(update) else { return false }
        self.preparations[key] = Preparation(update: update)
        if !self.isInRound { self.loop.turnAgain() }
        return true
    }

    /// Goes on with large updates, one step each. After a round's output is written, so that a step shares its turn with
    /// nothing that takes long.
    private func prepare() {
        for key in self.preparations.keys.sorted() {
            guard let preparation = self.preparations[key] else { continue }
            if let next = self.shard.prepare(group: key, preparation.update, from: preparation.position) {
                self.preparations[key]?.position = next
                continue
            }
            // Applied, or nothing to be done ahead: it is told in the next round.
            self.prepared.append(key)
        }
        self.loop.turnAgain()
    }

    /// Tells of the large updates that were taken, and goes on with what came after them.
    private func finishPrepared() {
        let keys = self.prepared
        self.prepared.removeAll()
        for key in keys {
            guard let preparation = self.preparations.removeValue(forKey: key) else { continue }
            self.shard.update(group: key, preparation.update)
            for message in preparation.later { self.handle(message) }
        }
    }

    private func handle(_ message: WorkerMessage) {
        if let key = message.keyOfGroup, self.keepForLater(message, key) { return }
        switch message {
        case .group(let key, let worker, let command): self.homes.receive(key: key, from: worker, command)
        case .update(let key, let update): self.shard.update(group: key, update)
        case .originState(let key, let state): self.shard.originChanged(group: key, state)
        case .rollout(let key, let order): self.shard.rollout(group: key, order)
        case .groupRefused(let key, let code, let reason, let text):
            self.shard.groupRefused(key, code, reason, text)
        case .snapshot(let upstream, let source): self.homes.snapshotChanged(upstream: upstream, source: source)
        case .restored(let key, let ticket, let types): self.homes.restored(key: key, ticket: ticket, types)
        case .perform(let body): body(self)
        case .drain(let timeout): self.drain(timeout)
        case .stop: self.stop()
        }
    }

    private func send(_ message: WorkerMessage, to worker: Int) {
        // What comes up while the turn's output is written is carried out in a round of its own, not after the sleep.
        if !self.isInRound { self.loop.turnAgain() }
        if worker == self.index { self.local.append(message) } else { self.outgoing[worker].append(message) }
    }

    /// What the rules in force make of a request, as for discovery.
    func resolve(_ request: KeyRequest) -> KeyResolution { self.keys.resolver.resolve(request) }

    /// Sets the shard's clocks; once for all messages of a turn.
    func setTime() {
        let now = self.loop.now
        guard now != self.timeSet else { return }
        self.timeSet = now
        self.shard.setTime(now, wall: Loop.wallNow())
        self.noteListeners()
    }

    // MARK: Rounds

    /// What this turn had to do took long: the round is for the next one. Not twice in a row.
    func putOffRound() { self.isRoundPutOff = !self.wasRoundPutOff }

    private func round() {
        self.wasRoundPutOff = self.isRoundPutOff
        self.isRoundPutOff = false
        if self.wasRoundPutOff { return self.loop.turnAgain() }
        self.isInRound = true
        defer { self.isInRound = false }
        self.setTime()
        if !self.prepared.isEmpty { self.finishPrepared() }
        repeat {
            // Before this worker writes to its own streams, so that the others write to theirs at the same time.
            self.postToWorkers()
            self.shard.flush()
            self.carryOut()
            let messages = self.local
            self.local.removeAll(keepingCapacity: true)
            for message in messages { self.handle(message) }
        } while !self.local.isEmpty || self.shard.hasWork
        self.post()
        if !self.preparations.isEmpty { self.loop.runSoon { [unowned self] in self.prepare() } }
    }

    /// Does what the shard asked for in this round.
    private func carryOut() {
        self.downstream?.deliver(self.shard.sends, bodies: self.shard.bodies)
        for refusal in self.shard.refusals where refusal.handle != SelfCheck.handle {
            self.downstream?.refuse(refusal)
        }
        // After what is written: a connection that turns out to be gone ends its streams, of which homes must hear.
        for entry in self.shard.commands {
            let home = Placement.home(of: entry.group, workers: self.shared.links.count)
            self.send(.group(key: entry.group, worker: self.index, command: entry.command), to: home)
        }
        self.counters.export(self.shard, to: self.shared.metrics)
        for event in self.shard.events { self.shared.note(event) }
        self.downstream?.pushed(self.shard.pushes, self.shard.taken)
        self.journalRound()
        self.shard.endRound()
    }

    private func post() {
        self.homes.postToStore()
        self.postToWorkers()
        self.postJournal()
    }

    private func postToWorkers() {
        guard self.outgoing.contains(where: { !$0.isEmpty }) else { return }
        // Nothing is to be heard of a push before the push.
        self.postJournal()
        for worker in self.outgoing.indices where !self.outgoing[worker].isEmpty {
            // A full mailbox keeps the messages here, in order, for the next round.
            if self.shared.links[worker].mailbox.post(self.outgoing[worker]) {
                self.outgoing[worker].removeAll(keepingCapacity: true)
            }
        }
    }

    private func tick() {
        self.setTime()
        self.shard.tick()
        self.homes.tick()
        self.downstream?.tick()
        self.selfCheck.tick()
        if self.index == 0 { self.shared.logger.reportLeftOut() }
        if self.isDraining, self.downstream?.connectionCount == 0 { self.shared.drained(self.index) }
    }

    /// Takes over what can change while it runs: rules for new streams, limits and times (SIGHUP).
    func reload(_ configuration: RelayConfiguration) {
        self.keys.resolver = KeyResolver(configuration, self.shared.embedding)
        self.shard.policy = Self.policy(configuration, self.shared)
        self.downstream?.reload(configuration.downstream)
        self.homes.reload(configuration)
        self.selfCheck.reload(configuration.checks.freshness)
        self.rekeyings += 1
        self.rekey(self.rekeyings, from: 0, Shard.Rekeyed())
    }

    /// Asks the new rules for the keys of the streams there are, some in each turn, so that no push waits for it.
    private func rekey(_ number: Int, from start: Int, _ before: Shard.Rekeyed) {
        // A newer reload begins again from the start.
        guard number == self.rekeyings else { return }
        self.setTime()
        let running = self.shared.configuration
        var total = self.shard.rekey(from: start, limit: Self.rekeyedPerTurn) { name in
            running.upstream(named: name) != nil
        }
        total.moved += before.moved
        total.refused += before.refused
        total.kept += before.kept
        self.loop.turnAgain()
        if let next = total.next {
            self.loop.runSoon { [weak self] in self?.rekey(number, from: next, total) }
        } else if total.moved + total.refused + total.kept > 0 {
            self.shared.logger.log(
                .info, "keys of streams found anew",
                [
                    ("worker", String(self.index)), ("moved", String(total.moved)), ("ended", String(total.refused)),
                    ("kept", String(total.kept)),
                ])
        }
    }

    // MARK: Draining

    private func drain(_ timeout: Nanoseconds) {
        guard !self.isDraining else { return }
        self.isDraining = true
        self.downstream?.drain(timeout)
    }
}

/// The rules in force; new streams are given their keys by them.
private final class KeySource {
    var resolver: KeyResolver

    init(_ resolver: KeyResolver) { self.resolver = resolver }
}

/// Lets a callback that is made before the worker reach it afterwards.
private final class InboxTarget { var receive: (([[WorkerMessage]]) -> Void)? }
private final class TickTarget { var fire: (() -> Void)? }
