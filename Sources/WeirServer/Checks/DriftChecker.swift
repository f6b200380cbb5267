import WeirBase
import WeirConfig
import WeirEngine
import WeirHTTP2
import WeirLoop
import WeirObserve
import WeirUpstream

/// Looks, one group after the other, whether the groups at home on one worker hold what their control planes say to
/// somebody new: on a short stream of its own to the server in use, on a connection that is there anyway, with the group's
/// node. Confined to the worker's loop.
///
/// A difference counts if a second look, some seconds later, finds it too while the group was told nothing of the name:
/// control planes gather changes before they push them, but answer newcomers at once.
final class DriftChecker {
    /// Holds this; calls that are passed on know it weakly.
    private unowned let homes: Homes
    private var settings: CheckConfiguration.Drift
    private var schedule: DriftSchedule
    private var look: Look?

    /// The one that is under way.
    private struct Look {
        var task: DriftTask
        var probe: DriftProbe
        var call: ForwardedCall
        var until: Instant
        /// The upstream stream that it is compared with, as it was then.
        var server: String
        var openedAt: Instant
    }

    init(homes: Homes, settings: CheckConfiguration.Drift) {
        self.homes = homes
        self.settings = settings
        let seed = UInt64(bitPattern: Loop.monotonicNow().rawValue) ^ UInt64(homes.worker) << 56
        self.schedule = DriftSchedule(interval: settings.interval, seed: seed)
    }

    func reload(_ settings: CheckConfiguration.Drift) {
        self.settings = settings
        self.schedule.set(interval: settings.interval)
    }

    /// To be called ten times a second.
    func tick(_ now: Instant) {
        if let look = self.look {
            if look.probe.isComplete(at: now) || look.until <= now { self.finish(look, now) }
            return
        }
        guard let task = self.schedule.take(now, units: { self.units }) else { return }
        if !self.begin(task, now) {
            self.count(.skipped)
            self.lookAgain(task, now)
        }
    }

    /// Has a group looked at now. Returns false if there is nothing of it to look at.
    func look(atKey key: String, _ now: Instant) -> Bool {
        guard let home = self.homes.groups[key] else { return false }
        if self.homes.waits(key, { _ = $0.driftChecker.look(atKey: key, $0.loop.now) }) { return true }
        let units = Self.units(of: home)
        for unit in units { self.schedule.look(DriftTask(unit: unit), at: now) }
        return !units.isEmpty
    }

    /// A group asks nothing more of an upstream.
    func forget(key: String, upstream: String) {
        for stream in [0, 1] {
            let unit = DriftUnit(key: key, upstream: upstream, stream: stream)
            self.schedule.forget(unit)
            self.homes.shared.drift.remove(unit)
            if self.look?.task.unit == unit { self.abandon() }
        }
    }

    private var units: [DriftUnit] { self.homes.groups.values.flatMap { Self.units(of: $0) } }

    private static func units(of home: HomeGroup) -> [DriftUnit] {
        home.origins.values.flatMap { origin in
            origin.snapshotSource == nil && !home.isAway
                ? origin.origin.wantedStreams.map {
                    DriftUnit(key: home.group.key, upstream: origin.upstream, stream: $0)
                } : []
        }
    }

    // MARK: A look

    private func origin(_ unit: DriftUnit) -> HomeOrigin? {
        guard let home = self.homes.groups[unit.key], home.storeQuestion == nil, !home.isAway else {
            return nil
        }
        return home.origins[unit.upstream]
    }

    private func begin(_ task: DriftTask, _ now: Instant) -> Bool {
        guard let origin = self.origin(task.unit), !origin.isWarming,
            let server = origin.origin.server(ofStream: task.unit.stream),
            let client = self.homes.upstreams[task.unit.upstream], client.variant == origin.origin.variant,
            // No connection is made for it.
            client.takesAnother, let probe = origin.origin.driftProbe(ofStream: task.unit.stream)
        else { return false }
        let call = client.forward(client.discoveryPath, self)
        self.look = Look(
            task: task, probe: probe, call: call, until: now + self.settings.timeout, server: server,
            openedAt: origin.openedAt)
        return true
    }

    private func abandon() {
        self.look?.call.cancel()
        self.look = nil
    }

    private func finish(_ look: Look, _ now: Instant) {
        self.abandon()
        let unit = look.task.unit
        guard let origin = self.origin(unit), origin.openedAt == look.openedAt,
            origin.origin.server(ofStream: unit.stream) == look.server
        else { return self.inconclusive(.skipped, "the upstream stream is another one now", look.task, now) }
        if let failure = look.probe.failure { return self.inconclusive(.failed, failure, look.task, now) }
        guard look.probe.wasAnswered || look.probe.isComplete(at: now) else {
            return self.inconclusive(.unanswered, "no answer in time", look.task, now)
        }
        self.homes.shared.drift.noteAnswer(now)
        let (found, count) = origin.origin.differences(from: look.probe)
        guard !found.isEmpty else { return self.noteSame(unit) }
        let lasting = DriftDifference.lasting(look.task.earlier ?? [], found)
        let looks = look.task.looks + 1
        if lasting.isEmpty {
            self.count(.differs)
            // What is always another difference is content that changes all the time; its turn comes again.
            guard looks < Self.looksMax || self.homes.shared.drift[unit] != nil else { return }
            self.lookAgain(DriftTask(unit: unit, earlier: found, looks: looks), now)
        } else {
            self.lookAgain(DriftTask(unit: unit, earlier: found, looks: looks), now)
            self.noteDrift(unit, lasting, found.count < count ? count : lasting.count, origin, now)
        }
    }

    /// Looks at what differs, one after the other, before it is left to its turn.
    private static let looksMax = 5

    private func inconclusive(
        _ outcome: CheckMetrics.DriftOutcome, _ reason: String, _ task: DriftTask, _ now: Instant
    ) {
        self.count(outcome)
        self.homes.shared.logger.logOften(
            .info, "a look for drift came to nothing",
            [("key", task.unit.key), ("upstream", task.unit.upstream), ("reason", reason)])
        self.lookAgain(task, now)
    }

    /// What is known to drift, or may, is looked at until that is decided; more and more rarely if it goes on.
    private func lookAgain(_ task: DriftTask, _ now: Instant) {
        guard task.earlier != nil || self.homes.shared.drift[task.unit] != nil,
            self.homes.groups[task.unit.key]?.origins[task.unit.upstream] != nil
        else { return }
        let (wait, overflow) = self.settings.confirmAfter.rawValue.multipliedReportingOverflow(
            by: 1 << Int64(min(max(0, task.looks - 2), 5)))
        self.schedule.look(task, at: now + (overflow ? self.settings.confirmAfter : Nanoseconds(rawValue: wait)))
    }

    // MARK: What is told

    private func count(_ outcome: CheckMetrics.DriftOutcome) {
        self.homes.shared.metrics.checks.drift(outcome).add(1)
    }

    private func noteSame(_ unit: DriftUnit) {
        self.count(.same)
        guard let status = self.homes.shared.drift.remove(unit) else { return }
        self.homes.shared.logger.log(
            .warning, "drift has ended",
            [
                ("key", unit.key), ("upstream", unit.upstream),
                ("after", "\((self.homes.loop.now - status.sinceInstant).seconds)s"),
            ])
    }

    private func noteDrift(
        _ unit: DriftUnit, _ lasting: [DriftDifference], _ count: Int, _ origin: HomeOrigin, _ now: Instant
    ) {
        self.count(.drift)
        let old = self.homes.shared.drift[unit]
        var status = DriftStatus(
            since: old?.since ?? Loop.wallNow(), sinceInstant: old?.sinceInstant ?? now, seen: Loop.wallNow(),
            count: count, sample: Array(lasting.prefix(DriftStatus.sampleMax)))
        let heals = self.settings.heals && old?.isHealed != true
        status.isHealed = old?.isHealed == true || heals
        self.homes.shared.drift.set(status, unit)
        if old == nil {
            self.homes.shared.logger.log(
                .error, "drift: the group holds something else than its upstream says to a newcomer",
                [
                    ("key", unit.key), ("upstream", unit.upstream), ("server", origin.origin.origin.server),
                    ("differences", String(count)), ("names", status.text),
                ])
        }
        // Once: what comes back after that is no slip of a stream.
        guard heals else { return }
        self.homes.shared.metrics.checks.driftHeals.add(1)
        self.homes.shared.logger.log(
            .warning, "the group is refreshed because it has drifted",
            [("key", unit.key), ("upstream", unit.upstream)])
        origin.origin.refresh(now: now)
        self.homes.carryOut(origin.home)
    }
}

extension DriftChecker: ForwardedCallDelegate {
    func opened(_ call: ForwardedCall) {
        guard let look = self.look, look.call === call else { return }
        for request in look.probe.requests { call.send(request) }
    }

    func received(_ call: ForwardedCall, _ bytes: Span<UInt8>) {
        guard let look = self.look, look.call === call else { return }
        if let answer = look.probe.receive(bytes, now: self.homes.loop.now) { call.send(answer) }
    }

    func drained(_ call: ForwardedCall) {}

    func ended(_ call: ForwardedCall, _ status: GRPCStatus, _ message: String) {
        guard let look = self.look, look.call === call else { return }
        self.abandon()
        self.inconclusive(.failed, "the stream ended: \(message)", look.task, self.homes.loop.now)
    }
}
