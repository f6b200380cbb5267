import WeirBase
import WeirEngine
import WeirLoop
import WeirXDS

/// Answers questions of the debug endpoint on a worker in pieces, so that no push waits for them: however many questions
/// there are, in one batch of a turn one of them is worked on, for `sliceMax` and one step. Confined to the worker's loop.
final class Inspector {
    /// One small piece of a question's work; whether there is more.
    typealias Step = () -> Bool

    private let loop: Loop
    private var steps: [Step] = []
    private var isScheduled = false

    /// How long one question is worked on at a stretch.
    static let sliceMax = Nanoseconds.microseconds(500)

    init(loop: Loop) { self.loop = loop }

    /// Works on a question until `step` says that there is no more. Questions take turns.
    func work(_ step: @escaping Step) {
        self.steps.append(step)
        self.schedule()
    }

    private func schedule() {
        guard !self.isScheduled, !self.steps.isEmpty else { return }
        self.isScheduled = true
        self.loop.runSoon { [weak self] in self?.slice() }
    }

    private func slice() {
        self.isScheduled = false
        guard !self.steps.isEmpty else { return }
        let step = self.steps.removeFirst()
        let end = Loop.monotonicNow() + Self.sliceMax
        var isMore = true
        repeat { isMore = step() } while isMore && Loop.monotonicNow() < end
        if isMore { self.steps.append(step) }
        self.schedule()
    }
}

/// What one worker knows of the groups.
struct WorkerGroups: Sendable {
    struct Home: Sendable {
        var key: String
        var upstream: String
        var origin: OriginState
        var types: [OriginTypeStatus]

        /// Whether it holds something that its upstream has not confirmed since it came from a sibling or the store.
        var isStale: Bool { self.origin.isBorrowed || self.types.contains(where: \.isStale) }
    }

    var homes: [Home] = []
    /// Groups that are at home here, also where only some of them were asked for.
    var count = 0
    var views: [ViewStatus] = []
    var streamsByKey: [String: Int] = [:]
    var streamsByService: [DiscoveryService: Int] = [:]
    var mailboxDepth = 0
}

/// A group's resources of one type, by reference.
struct HeldResources: Sendable {
    var key: String
    var held: HeldType
}

/// What one worker holds of what was asked for.
struct HeldPart: Sendable {
    var found: [HeldResources] = []
    /// How many resources come before the place where the question begins.
    var skipped = 0
}

extension Worker {
    /// What is looked at in one step of a question: about a tenth of a slice each.
    private static var slotsPerStep: Int { 256 }
    private static var resourcesPerStep: Int { 512 }

    /// The groups that are at home here, all or those of `keys`, and what the streams of this worker do.
    func collectGroups(_ keys: [String]? = nil, done: @escaping @Sendable (WorkerGroups) -> Void) {
        var found = WorkerGroups()
        let census = Census()
        found.count = self.homes.groups.count
        var waiting = keys.map { $0.filter { self.homes.groups[$0] != nil } } ?? self.groupKeys()
        var isCounting = true
        self.inspector.work { [unowned self] in
            if isCounting {
                isCounting = census.advance(self.shard, slots: Self.slotsPerStep)
                return true
            }
            guard let key = waiting.popLast() else {
                done(self.complete(found, census.result(self.shard)))
                return false
            }
            if let home = self.homes.groups[key] { found.homes.append(Self.status(of: home)) }
            return true
        }
    }

    private static func status(of home: HomeGroup) -> WorkerGroups.Home {
        let statuses = home.statuses
        return WorkerGroups.Home(
            key: home.group.key, upstream: home.group.upstream, origin: statuses.origin, types: statuses.types)
    }

    private func complete(_ found: WorkerGroups, _ counts: StreamCounts) -> WorkerGroups {
        var found = found
        found.views = counts.views
        found.streamsByKey = counts.byKey
        found.streamsByService = counts.byService
        found.mailboxDepth = self.shared.links[self.index].mailbox.count
        return found
    }

    /// The keys of all groups that are at home here.
    func groupKeys() -> [String] { Array(self.homes.groups.keys) }

    /// The resources of the groups for which `filter` gives something.
    func collectResources(
        _ filter: @escaping (_ key: String) -> ResourceWalk.Filter?,
        done: @escaping @Sendable (HeldPart) -> Void
    ) {
        let waiting = self.homes.groups.keys.filter { filter($0) != nil }
        let question = HeldQuestion(filter: filter, waiting: waiting, done: done)
        self.inspector.work { [unowned self] in self.advance(question) }
    }

    private func advance(_ question: HeldQuestion) -> Bool {
        guard let key = question.waiting.last else {
            question.done(question.part)
            return false
        }
        // A group that is away is not looked at: the question goes on when it is back.
        let isAway = self.homes.waits(key) { [unowned self] _ in
            self.inspector.work { [unowned self] in self.advance(question) }
        }
        if isAway { return false }
        if question.walk == nil, let home = self.homes.groups[key], let filter = question.filter(key) {
            question.walk = ResourceWalk(home.group, filter)
        }
        if let walk = question.walk {
            if walk.advance(limit: Self.resourcesPerStep) { return true }
            question.part.found += walk.found.map { HeldResources(key: key, held: $0) }
            question.part.skipped += walk.skipped
        }
        question.walk = nil
        question.waiting.removeLast()
        return true
    }

    /// Walks over the streams.
    func collectStreams(_ walk: StreamWalk, done: @escaping (StreamWalk) -> Void) {
        self.inspector.work { [unowned self] in
            if walk.advance(self.shard, slots: 16) { return true }
            done(walk)
            return false
        }
    }
}

/// A question for the resources of groups, as far as it is answered.
private final class HeldQuestion {
    let filter: (_ key: String) -> ResourceWalk.Filter?
    /// The groups to come, and the one that is walked over last.
    var waiting: [String]
    var walk: ResourceWalk?
    var part = HeldPart()
    let done: @Sendable (HeldPart) -> Void

    init(
        filter: @escaping (_ key: String) -> ResourceWalk.Filter?, waiting: [String],
        done: @escaping @Sendable (HeldPart) -> Void
    ) {
        self.filter = filter
        self.waiting = waiting
        self.done = done
    }
}
