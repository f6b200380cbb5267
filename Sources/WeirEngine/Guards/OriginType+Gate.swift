import WeirBase
import WeirXDS

/// What clients have of a type, which is what the control plane said unless the gate is closed.
extension OriginType {
    /// What the control plane last said of a name.
    func presence(_ slot: Slot) -> Presence {
        guard slot.lane == .named else { return self.wild[slot.name].map { .present($0) } ?? .absent }
        return self.byName[slot.name] ?? .unknown
    }

    func servedPresence(_ slot: Slot) -> Presence { self.gate.withheld[slot]?.served ?? self.presence(slot) }

    /// The name of the state that clients have.
    var label: ServedLabel {
        self.gate.label
            ?? ServedLabel(
                version: self.version, isDerived: self.isVersionDerived, equalVersions: self.equalVersions,
                updated: self.updated)
    }

    /// What clients have in the wildcard lane.
    var servedWild: [String: Resource] {
        var served = self.wild
        for (slot, entry) in self.gate.withheld where slot.lane == .wildcard {
            served[slot.name] = entry.served.resource
        }
        return served
    }

    /// What clients have in the named lane.
    var servedNamed: [String: Presence] {
        var served = self.byName
        for (slot, entry) in self.gate.withheld where slot.lane == .named {
            if case .unknown = entry.served { served[slot.name] = nil } else { served[slot.name] = entry.served }
        }
        return served
    }

    /// How many resources clients have, at most: one under several names counts as often.
    var servedCount: Int {
        self.gate.withheld.values.reduce(self.resourceCount) { count, entry in
            count + (entry.served.resource == nil ? 0 : 1) - (entry.candidate.presence.resource == nil ? 0 : 1)
        }
    }

    /// How many resources clients have in a lane.
    func servedCount(in lane: Lane) -> Int {
        self.gate.withheld.reduce(self.counts[lane] ?? 0) {
            guard $1.key.lane == lane else { return $0 }
            return $0 + ($1.value.served.resource == nil ? 0 : 1)
                - ($1.value.candidate.presence.resource == nil ? 0 : 1)
        }
    }

    /// Closes the gate on what clients have now. What a store has of it stays too, until the gate opens.
    func close() {
        guard self.gate.label == nil else { return }
        self.gate.label = self.label
        self.owesStore = true
    }

    /// The wildcard was answered for the first time while the gate is closed: of what clients had of it nothing is left, nor
    /// of its name, by which one that comes back would be taken to have the new set (SOTW-18).
    func relabel() {
        guard self.gate.isClosed else { return }
        self.gate.label = nil
        self.gate.label = self.label
    }

    /// Whether a change reaches clients through a closed gate: what is no change of what they have. A name that was never
    /// answered has no earlier state that could be kept; silence would be worse than any answer.
    func passesClosedGate(_ change: ResourceChange, _ cause: PublishCause, isFirstAnswer: Bool) -> Bool {
        let slot = Slot(lane: change.lane, name: change.name)
        if case .unknown = change.presence { return true }
        if change.error != nil, change.isRefresh { return true }
        if self.gate.withheld[slot] != nil { return false }
        if cause == .interest || change.isRefresh { return true }
        if change.lane == .wildcard { return isFirstAnswer }
        if case .present(let resource) = change.presence, resource.mustBeFetched { return true }
        if case .unknown = self.presence(slot) { return true }
        return false
    }

    /// What undoes changes that are about to be applied: earlier answers only, for a first one can only be forgotten.
    func undo(of changes: [ResourceChange]) -> [Slot: Presence] {
        var undo: [Slot: Presence] = [:]
        for change in changes where !change.isRefresh {
            let slot = Slot(lane: change.lane, name: change.name)
            let before = self.presence(slot)
            if case .unknown = before { continue }
            if !before.isSame(as: change.presence) { undo[slot] = before }
        }
        return undo
    }

    var holdStatus: HoldStatus? {
        guard let hold = self.gate.hold else { return nil }
        return HoldStatus(
            reason: hold.reason, since: hold.sinceWall, sinceInstant: hold.since, detail: hold.detail,
            version: self.version, changes: self.gate.withheld.count)
    }

    var rolloutStatus: RolloutStatus? {
        self.gate.trial.map {
            RolloutStatus(version: self.version, given: $0.total, accepted: $0.accepted, rejected: $0.rejected)
        }
    }

    /// Newest first.
    var pastStatuses: [PastStatus] {
        self.gate.history.past.reversed().map {
            PastStatus(version: $0.label.version, updated: $0.label.updated, resources: $0.resources)
        }
    }
}

/// Why a new state is published.
enum PublishCause {
    /// The origin said something: guards look at it.
    case upstream
    /// Wishes changed, or time passed.
    case interest
}
