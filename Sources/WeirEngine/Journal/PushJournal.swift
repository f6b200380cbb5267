package import WeirBase
import WeirHash
package import WeirXDS

/// How much of the past is kept.
package struct JournalLimits: Hashable, Sendable {
    /// Pushes of each type of a group.
    package var pushes = 50
    /// Bytes of all of them together, with the earlier bodies that comparing takes.
    package var bytes = 16 << 20

    package init() {}
}

/// The last pushes of each type of each group: what they changed, and what became of them.
///
/// Earlier bodies are kept by reference while the budget lasts: the oldest of all go first, then whole pushes. Not thread
/// safe: confined to one thread.
package final class PushJournal {
    private var limits: JournalLimits
    private var logs: [LogKey: [Entry]] = [:]
    /// All entries as they came; those that are gone are marked.
    private var order: [Entry] = []
    private var firstWithBodies = 0
    private var first = 0
    /// Bytes kept at present, roughly.
    package private(set) var bytes = 0

    private struct LogKey: Hashable {
        var key: String
        var type: XDSType
    }

    private struct Change {
        var slot: Slot
        var before: KeptResource?
        var after: KeptResource?

        var cost: Int { 192 + (self.before?.bytes ?? 0) + (self.after?.bytes ?? 0) }
    }

    private final class Entry {
        var summary: PushSummary
        let receivedAt: Instant
        let isUpstreamState: Bool
        let sequence: Int
        /// What it made of the state before it; nil: not known any more.
        var changes: [Change]?
        /// Workers that were told, have not written it, and whose clients have not all answered it.
        var told: UInt64 = 0
        var unwritten: UInt64 = 0
        var unacked: UInt64 = 0
        var cost = 0
        var isGone = false

        init(_ report: PushReport, _ summary: PushSummary) {
            self.summary = summary
            self.receivedAt = report.receivedAt
            self.isUpstreamState = report.isUpstreamState
            self.sequence = report.sequence
            self.tell(report.workers)
        }

        func tell(_ workers: UInt64) {
            let new = workers & ~self.told
            self.told |= new
            self.unwritten |= new
            self.unacked |= new
        }
    }

    package init(_ limits: JournalLimits) { self.limits = limits }

    package func set(_ limits: JournalLimits) {
        self.limits = limits
        for log in self.logs.keys { self.trim(log) }
        self.keepBudget()
    }

    // MARK: What happens

    /// A push was made. Returns what is to be seen of it.
    @discardableResult
    package func add(_ report: PushReport, upstream: String) -> PushSummary {
        let (summary, changes) = Self.summary(of: report, upstream)
        guard self.limits.pushes > 0 else { return summary }
        let log = LogKey(key: report.key, type: report.type)
        if let last = self.logs[log]?.last, Self.repeats(last, summary, report) {
            let entry = Entry(report, summary)
            entry.summary.repeats = last.summary.repeats + 1
            let changes = last.changes
            self.drop(last, of: log)
            return self.add(entry, changes: changes, log)
        }
        // What came before the first one, or was missed, is not known: so its changes lead nowhere.
        let before = self.logs[log]?.last { $0.summary.upstream == upstream }?.sequence
        let follows = before.map { $0 + 1 == report.sequence } ?? (self.logs[log] != nil && report.sequence == 1)
        return self.add(Entry(report, summary), changes: follows ? changes : nil, log)
    }

    private func add(_ entry: Entry, changes: [Change]?, _ log: LogKey) -> PushSummary {
        entry.changes = changes
        self.logs[log, default: []].append(entry)
        self.order.append(entry)
        self.weigh(entry)
        self.trim(log)
        self.keepBudget()
        return entry.summary
    }

    /// A control plane that says the same again and again would push everything else out.
    private static func repeats(_ last: Entry, _ summary: PushSummary, _ report: PushReport) -> Bool {
        last.summary.outcome == .unchanged && summary.outcome == .unchanged && last.changes?.isEmpty ?? true
            && last.summary.version == summary.version && last.sequence + 1 == report.sequence
            && last.summary.server == summary.server
    }

    /// Something else became of a push.
    package func amend(
        _ id: PushID, key: String, type: XDSType, outcome: PushOutcome, detail: String, workers: UInt64
    ) {
        guard let entry = self.find(id, key, type) else { return }
        entry.summary.outcome = outcome
        if !detail.isEmpty { entry.summary.detail = detail.bounded(toBytes: PushSummary.detailBytesMax) }
        entry.tell(workers)
        if workers != 0 {
            entry.summary.written = nil
            entry.summary.acked = nil
        }
        self.weigh(entry)
    }

    /// A worker has put a push on its streams, and their bytes were written by now.
    package func written(_ taken: TakenPush, worker: Int, at now: Instant) {
        guard let entry = self.find(taken.push, taken.key, taken.type) else { return }
        let bit: UInt64 = 1 << UInt64(worker)
        guard entry.told & bit != 0 else { return }
        entry.unwritten &= ~bit
        entry.summary.responses += taken.responses
        if entry.unwritten == 0, entry.summary.responses > 0 { entry.summary.written = now - entry.receivedAt }
    }

    /// All streams of a worker have answered a push, and with it all earlier ones of its type.
    package func acknowledged(_ push: PushID, key: String, type: XDSType, worker: Int, at now: Instant) {
        let bit: UInt64 = 1 << UInt64(worker)
        for entry in self.logs[LogKey(key: key, type: type)]?.reversed() ?? [] where entry.summary.id <= push {
            guard entry.unacked & bit != 0 else { continue }
            entry.unacked &= ~bit
            if entry.unacked == 0 { entry.summary.acked = now - entry.receivedAt }
        }
    }

    /// A client rejected a push.
    package func nacked(_ push: PushID, key: String, type: XDSType, node: String, message: String) {
        guard let entry = self.find(push, key, type) else { return }
        entry.summary.nackCount += 1
        guard entry.summary.nacks.count < PushSummary.nacksMax else { return }
        entry.summary.nacks.append(
            PushNack(
                node: node.bounded(toBytes: PushNack.bytesMax), message: message.bounded(toBytes: PushNack.bytesMax)))
        self.weigh(entry)
    }

    private func find(_ id: PushID, _ key: String, _ type: XDSType) -> Entry? {
        self.logs[LogKey(key: key, type: type)]?.last { $0.summary.id == id }
    }

    private static func summary(of report: PushReport, _ upstream: String) -> (PushSummary, [Change]) {
        var summary = PushSummary(
            id: report.id, key: report.key, type: report.type, version: report.version, at: report.receivedAtWall,
            upstream: upstream, server: report.server, outcome: report.outcome,
            detail: report.detail.bounded(toBytes: PushSummary.detailBytesMax))
        var changes: [Change] = []
        for change in report.changes where !change.isRefresh {
            let slot = Slot(lane: change.lane, name: change.name)
            if case .unknown = change.presence { continue }
            let isSecret = report.type == .sds
            let made = Change(
                slot: slot,
                before: report.before[slot]?.resource.map { KeptResource($0, isSecret: isSecret) },
                after: change.presence.resource.map { KeptResource($0, isSecret: isSecret) })
            switch (made.before, made.after) {
            case (nil, nil): continue
            case (nil, .some): summary.added.add(change.name)
            case (.some, nil): summary.removed.add(change.name)
            case (.some, .some): summary.changed.add(change.name)
            }
            changes.append(made)
        }
        return (summary, changes)
    }

    // MARK: Bounds

    private func weigh(_ entry: Entry) {
        self.bytes -= entry.cost
        entry.cost = entry.summary.cost + (entry.changes ?? []).reduce(0) { $0 + $1.cost }
        self.bytes += entry.cost
    }

    private func trim(_ log: LogKey) {
        while let entries = self.logs[log], entries.count > self.limits.pushes, let oldest = entries.first {
            self.drop(oldest, of: log)
        }
    }

    private func drop(_ entry: Entry, of log: LogKey) {
        self.bytes -= entry.cost
        entry.cost = 0
        entry.changes = nil
        entry.isGone = true
        self.logs[log]?.removeAll { $0 === entry }
        guard let next = self.logs[log]?.first else { return self.logs[log] = nil }
        // What it began with has gone.
        if next.changes != nil, next.sequence > entry.sequence {
            next.changes = nil
            self.weigh(next)
        }
    }

    private func keepBudget() {
        while self.bytes > self.limits.bytes, self.firstWithBodies < self.order.count {
            let entry = self.order[self.firstWithBodies]
            self.firstWithBodies += 1
            guard !entry.isGone, entry.changes != nil else { continue }
            entry.changes = nil
            self.weigh(entry)
        }
        while self.bytes > self.limits.bytes, self.first < self.order.count {
            let entry = self.order[self.first]
            self.first += 1
            if !entry.isGone { self.drop(entry, of: LogKey(key: entry.summary.key, type: entry.summary.type)) }
        }
        while self.first < self.order.count, self.order[self.first].isGone { self.first += 1 }
        self.compact()
    }

    private func compact() {
        let gone = self.first
        // Those in the middle that are gone too wait until they are many.
        guard gone > 1024, gone * 2 > self.order.count else { return self.compactMiddle() }
        self.order.removeFirst(gone)
        self.first = 0
        self.firstWithBodies = max(0, self.firstWithBodies - gone)
    }

    private var compactAt = 4096

    private func compactMiddle() {
        guard self.order.count >= self.compactAt else { return }
        self.order.removeAll { $0.isGone }
        self.first = 0
        self.firstWithBodies = 0
        self.compactAt = max(4096, self.order.count * 2)
    }

    // MARK: Questions

    /// The newest pushes first.
    package func pushes(key: String?, typeURL: String?, limit: Int) -> [PushSummary] {
        var found: [PushSummary] = []
        var index = self.order.count
        while index > self.first, found.count < limit {
            index -= 1
            let entry = self.order[index]
            guard !entry.isGone, key == nil || entry.summary.key == key else { continue }
            guard typeURL == nil || entry.summary.type.typeURL == typeURL else { continue }
            found.append(entry.summary)
        }
        return found
    }

    /// Why two states cannot be compared.
    package struct Refusal: Error, Hashable {
        /// Whether it was there once.
        package var isGone: Bool
        package var message: String
    }

    /// What is different between two states, each named by its version or by the push that made it. Without `to`: the
    /// newest; without `from`: the one before `to`.
    package func difference(
        key: String, type: XDSType, from: String?, to: String?
    ) throws(Refusal) -> StateDifference {
        let states = (self.logs[LogKey(key: key, type: type)] ?? []).filter(\.isUpstreamState)
        guard !states.isEmpty else {
            throw Refusal(isGone: false, message: "no push of \(type.label) is known for key \"\(key)\"")
        }
        let last = try self.index(of: to, states) ?? states.count - 1
        let first: Int
        if let index = try self.index(of: from, states) {
            first = index
        } else if let before = states[..<last].lastIndex(where: { $0.summary.version != states[last].summary.version })
        {
            first = before
        } else {
            throw Refusal(
                isGone: false,
                message: "no state before version \"\(states[last].summary.version)\" is known; "
                    + Self.available(states))
        }
        return try self.difference(states, first, last)
    }

    private func index(of name: String?, _ states: [Entry]) throws(Refusal) -> Int? {
        guard let name = name else { return nil }
        let id = PushID(name)
        if let index = states.lastIndex(where: { $0.summary.version == name || $0.summary.id == id }) { return index }
        throw Refusal(isGone: false, message: "no state \"\(name)\" is known; \(Self.available(states))")
    }

    private func difference(_ states: [Entry], _ a: Int, _ b: Int) throws(Refusal) -> StateDifference {
        var difference = StateDifference(
            type: states[b].summary.type, from: states[a].summary.version, to: states[b].summary.version)
        var net: [Slot: (before: KeptResource?, after: KeptResource?)] = [:]
        for index in min(a, b) + 1..<max(a, b) + 1 {
            guard let changes = states[index].changes else {
                throw Refusal(
                    isGone: true,
                    message: "what was between \"\(difference.from)\" and \"\(difference.to)\" is not kept any more; "
                        + Self.available(states))
            }
            for change in changes {
                let before = if let earlier = net[change.slot] { earlier.before } else { change.before }
                net[change.slot] = (before, change.after)
            }
        }
        var seen: Set<String> = []
        for (slot, change) in net.sorted(by: { $0.key < $1.key }) where seen.insert(slot.name).inserted {
            let (before, after) = a <= b ? (change.before, change.after) : (change.after, change.before)
            switch (before, after) {
            case (nil, nil): continue
            case (nil, .some): difference.added.append(slot.name)
            case (.some, nil): difference.removed.append(slot.name)
            case (let before?, let after?):
                if before.hash == after.hash, before.version == after.version { continue }
                difference.changed.append(.init(name: slot.name, before: before, after: after))
            }
        }
        return difference
    }

    /// The states that can be compared with the newest one.
    private static func available(_ states: [Entry]) -> String {
        var versions: [String] = []
        for entry in states.reversed() {
            if !versions.contains(entry.summary.version) { versions.append(entry.summary.version) }
            guard entry.changes != nil, versions.count < 50 else { break }
        }
        return "available are \(versions.map { "\"\($0)\"" }.joined(separator: ", ")), newest first"
    }
}
