package import WeirBase
import WeirXDS

/// What a group keeps from its clients.
extension OriginGroup {
    // MARK: Judging

    /// Looks at what is about to be published, and closes the gate if clients had better not see it. `isFirstAnswer`: the
    /// wildcard was not answered before.
    func judge(
        _ changes: [ResourceChange], _ type: OriginType, isFirstAnswer: Bool, _ now: Instant, _ wall: WallTime
    ) {
        guard !type.gate.isClosed, type.type.isFullSet, !isFirstAnswer else { return }
        var left: [Lane: [Slot]] = [:]
        var came: [Slot] = []
        for change in changes where !change.isRefresh {
            let slot = Slot(lane: change.lane, name: change.name)
            switch (type.presence(slot).resource, change.presence.resource) {
            case (.some, nil): left[slot.lane, default: []].append(slot)
            case (nil, .some): came.append(slot)
            default: break
            }
        }
        for lane in Lane.allCases where left[lane] != nil {
            let loss = Loss(
                before: type.servedCount(in: lane), left: left[lane]?.count ?? 0,
                came: came.count { $0.lane == lane }, departed: type.gate.departed(from: lane, now))
            guard let reason = loss.reason(self.guards) else { continue }
            self.close(type, reason, loss.text, now, wall)
            for lane in Lane.allCases {
                let departed = type.gate.departed(from: lane, now)
                type.gate.hold?.departed[lane] = departed
            }
            return
        }
        type.gate.note(left: left.values.flatMap { $0 }, came: came, now)
    }

    /// What clients would lose if a closed gate were opened now.
    private func loss(_ type: OriginType) -> (reason: HoldReason, text: String)? {
        guard type.type.isFullSet else { return nil }
        for lane in Lane.allCases {
            let entries = type.gate.withheld.filter { $0.key.lane == lane }.values
            let loss = Loss(
                before: type.servedCount(in: lane),
                left: entries.count { $0.served.resource != nil && $0.candidate.presence.resource == nil },
                came: entries.count { $0.served.resource == nil && $0.candidate.presence.resource != nil },
                departed: type.gate.hold?.departed[lane] ?? 0)
            if let reason = loss.reason(self.guards) { return (reason, loss.text) }
        }
        return nil
    }

    func close(
        _ type: OriginType, _ reason: HoldReason, _ detail: String, _ now: Instant, _ wall: WallTime
    ) {
        type.close()
        type.gate.hold = Hold(reason: reason, since: now, sinceWall: wall, detail: detail)
    }

    func noteHeld(_ type: OriginType) {
        guard var status = type.holdStatus else { return }
        status.push = self.draft?.id ?? .none
        self.actions.append(.event(.held(typeURL: type.type.typeURL, status)))
    }

    // MARK: A closed gate

    /// Takes changes of a type whose gate is closed: remembers them, and tells clients only what is no change of what they
    /// have. Returns how many were withheld.
    func withhold(
        _ changes: [ResourceChange], _ type: OriginType, _ lane: Lane, version: String?, force: Bool,
        _ cause: PublishCause, _ now: Instant, _ wall: WallTime
    ) -> Int {
        let undo = self.policy.isJournaled ? type.undo(of: changes) : [:]
        var through: [ResourceChange] = []
        var noted: [ResourceChange] = []
        var withheld = 0
        for change in changes {
            let slot = Slot(lane: change.lane, name: change.name)
            let passes = type.passesClosedGate(change, cause, isFirstAnswer: force)
            let before = type.presence(slot)
            let isServed = type.gate.withheld[slot]?.served.resource != nil
            guard type.apply(change) || passes && isServed else { continue }
            noted.append(change)
            if passes {
                type.gate.forget(slot)
                through.append(change)
            } else {
                type.gate.withhold(change, served: before)
                withheld += 1
            }
        }
        if withheld > 0 || !through.isEmpty {
            type.advance(
                upstreamVersion: version, lane: lane,
                contentChanged: withheld > 0 || through.contains { !$0.isRefresh }, wall: wall)
        } else {
            if let version = version { _ = type.noteEqual(version) }
            // That a wildcard was answered, be it with nothing, is a state of its own.
            if force { type.step() }
        }
        if force, type.wildcardKnown { type.relabel() }
        self.draft?.note(noted, undo: undo)
        if !through.isEmpty || force { self.tell(type, through, now, wall) }
        self.scheduleExpiries(type)
        self.reconsider(type, isNews: withheld > 0, now, wall)
        if withheld > 0 { self.noteHeld(type) }
        return withheld
    }

    /// Decides what becomes of what is withheld. `isNews`: it is something else than before.
    private func reconsider(_ type: OriginType, isNews: Bool, _ now: Instant, _ wall: WallTime) {
        let hold = type.gate.hold
        if hold?.reason == .operator { return }
        if let loss = self.loss(type) {
            self.abandonTrial(type, now, wall)
            if hold?.reason == .empty || hold?.reason == .shrink {
                type.gate.hold?.reason = loss.reason
                type.gate.hold?.detail = loss.text
            } else {
                type.gate.hold = Hold(reason: loss.reason, since: now, sinceWall: wall, detail: loss.text)
            }
        } else if type.gate.withheld.isEmpty {
            self.abandonTrial(type, now, wall)
            self.open(type, how: "the control plane sent what clients have", now, wall)
        } else if self.isStaged(type) {
            let isUntried = type.gate.trial == nil && hold?.reason != .nack
            // To some of them it was given before the relay was started.
            if self.wasRejectedBefore(type) { return }
            if isNews || isUntried { self.beginTrial(type, now, wall) }
        } else {
            self.open(type, how: "the control plane sent another state", now, wall)
        }
    }

    /// Tells the followers that know everything so far what is new. While a push is tried the two sides hold different
    /// states under different versions.
    func tellFollowers(
        _ type: OriginType, _ changes: [ResourceChange], _ workers: UInt64, _ now: Instant, _ wall: WallTime
    ) {
        var update = type.update(changes, passesVersion: self.passesVersion, now: now, wall: wall)
        update.push = self.draft?.id ?? .none
        guard !type.gate.tried.isEmpty else { return self.actions.append(.publish(update, workers: workers)) }
        update.audience = .rest
        self.actions.append(.publish(update, workers: workers))
        update.audience = .first
        // What they hold is not touched by what concerns the others.
        update.changes.removeAll { change in
            if case .unknown = change.presence, !change.isRefresh { return false }
            return type.gate.tried.contains(Slot(lane: change.lane, name: change.name))
        }
        update.version = type.version
        update.equalVersions = type.equalVersions
        if !update.changes.isEmpty { self.actions.append(.publish(update, workers: workers)) }
    }

    /// Gives clients what was kept from them.
    func open(_ type: OriginType, how: String, _ now: Instant, _ wall: WallTime) {
        self.asPush(type, .clients, .released, by: how, now, wall) { self.openWithinPush(type, how: how, now, wall) }
    }

    private func openWithinPush(_ type: OriginType, how: String, _ now: Instant, _ wall: WallTime) {
        guard let label = type.gate.label else { return }
        let hold = type.gate.hold
        let count = type.servedCount
        let differences = type.gate.open()
        if differences.isEmpty {
            type.resume(label)
        } else {
            let undo = differences.reduce(into: [Slot: Presence]()) { $0[$1.slot] = $1.withheld.served }
            type.gate.history.leave(label, resources: count, undo: undo, max: self.guards.historyMax)
            type.step()
            self.noteServed(differences.map(\.withheld.candidate), undo)
        }
        self.tell(type, differences.map(\.withheld.candidate), now, wall)
        self.settleWithStore(type)
        self.scheduleExpiries(type)
        guard let hold = hold else { return }
        self.actions.append(
            .event(
                .released(typeURL: type.type.typeURL, reason: hold.reason, how: how, after: now - hold.since)))
    }

    /// What clients still have although the control plane has something else lives no longer than it was to live.
    func expireServed(_ type: OriginType, _ now: Instant, _ wall: WallTime) {
        let due = type.gate.expired(at: now)
        guard !due.isEmpty else { return }
        let changes = due.map { ResourceChange(lane: $0.lane, name: $0.name, presence: .absent) }
        self.asPush(type, .clients, .sent, by: "its time to live is over", now, wall) {
            self.serve(changes, type, now, wall)
        }
    }

    /// Notes what clients are given apart from what the control plane says.
    private func noteServed(_ changes: [ResourceChange], _ before: [Slot: Presence]) {
        if self.draft?.kind == .clients { self.draft?.note(changes, undo: before) }
    }

    /// Gives clients something that is not what the control plane last said.
    private func serve(_ changes: [ResourceChange], _ type: OriginType, _ now: Instant, _ wall: WallTime) {
        let before = changes.map { Slot(lane: $0.lane, name: $0.name) }.map { ($0, type.servedPresence($0)) }
        self.noteServed(changes, Dictionary(before) { first, _ in first })
        for change in changes {
            let slot = Slot(lane: change.lane, name: change.name)
            let candidate = ResourceChange(lane: slot.lane, name: slot.name, presence: type.presence(slot))
            type.gate.serve(change.presence, slot, candidate: candidate)
        }
        type.step()
        self.tell(type, changes, now, wall)
        self.scheduleExpiries(type)
    }

    /// A type goes, and what is kept from its clients with it.
    func dropGate(of type: OriginType) {
        type.gate.trial = nil
        guard let hold = type.gate.hold else { return }
        self.actions.append(
            .event(
                .released(
                    typeURL: type.type.typeURL, reason: hold.reason, how: "nobody subscribes to the type any more",
                    after: .zero)))
    }

    // MARK: Configuration and commands

    /// Takes over new guards. What they allow is released.
    package func setGuards(_ policy: GuardPolicy, now: Instant, wall: WallTime) {
        self.guards = policy
        for type in self.sortedTypes {
            type.gate.history.trim(to: policy.historyMax)
            if type.gate.trial != nil, !self.isStaged(type) {
                self.promote(type, how: "rollouts are switched off", now, wall)
            }
            guard let hold = type.gate.hold, hold.reason == .empty || hold.reason == .shrink else { continue }
            if self.loss(type) == nil { self.open(type, how: "the configuration allows it", now, wall) }
        }
    }

    /// Keeps what clients have of a type until `release`, whatever the control plane says.
    package func hold(typeURL: String, by: String, now: Instant, wall: WallTime) throws(CommandRefusal) {
        let type = try self.type(typeURL)
        if type.gate.hold?.reason == .operator { return }
        self.abandonTrial(type, as: .held(.operator), now, wall)
        self.close(type, .operator, "held by \(by)", now, wall)
        self.storeHold(of: type)
        self.noteHeld(type)
    }

    /// Gives clients the newest state of a type.
    package func release(typeURL: String, by: String, now: Instant, wall: WallTime) throws(CommandRefusal) {
        let type = try self.type(typeURL)
        guard type.gate.isClosed else {
            throw CommandRefusal(.conflict, "nothing of \(type.type.label) is held for key \"\(self.key)\"")
        }
        self.promote(type, how: "released by \(by)", now, wall)
    }

    /// Takes clients back to an earlier state of a type, and keeps them there until `release`: to the newest one of the
    /// version, or the last one before the present. Returns its version.
    package func rollBack(
        typeURL: String, to version: String?, by: String, now: Instant, wall: WallTime
    ) throws(CommandRefusal) -> String {
        let type = try self.type(typeURL)
        guard let target = type.gate.history.find(version) else {
            let known = type.gate.history.past.reversed().map { "\"\($0.label.version)\"" }
            let choice =
                known.isEmpty ? "none is kept" : "kept are \(known.joined(separator: ", ")), newest first"
            let wanted = version.map { "no state of version \"\($0)\"" } ?? "no earlier state"
            throw CommandRefusal(
                version == nil ? .conflict : .notFound,
                "there is \(wanted) of \(type.type.label) for key \"\(self.key)\" to go back to; \(choice)")
        }
        self.abandonTrial(type, now, wall)
        let way = type.gate.history.wayBack(to: target).filter { self.isWanted($0.key, type) }
        let changes = way.sorted { $0.key < $1.key }.compactMap { slot, presence in
            self.change(slot, to: presence, type, now)
        }
        self.close(type, .operator, "rolled back by \(by)", now, wall)
        let undo = changes.reduce(into: [Slot: Presence]()) {
            let slot = Slot(lane: $1.lane, name: $1.name)
            $0[slot] = type.servedPresence(slot)
        }
        type.gate.history.leave(
            type.label, resources: type.servedCount, undo: undo, max: self.guards.historyMax, returningTo: target.id)
        type.gate.label = target.label
        self.asPush(type, .clients, .rolledBack, by: "rolled back by \(by)", now, wall) {
            self.serve(changes, type, now, wall)
            self.storeHold(of: type)
            self.noteHeld(type)
        }
        return target.label.version
    }

    private func type(_ typeURL: String) throws(CommandRefusal) -> OriginType {
        if let type = self.types[typeURL] { return type }
        let known = self.sortedTypes.map(\.type.label).joined(separator: ", ")
        throw CommandRefusal(
            .notFound,
            "nobody subscribes to \(XDSType.of(typeURL: typeURL).label) with key \"\(self.key)\"; "
                + (known.isEmpty ? "it has no types" : "its types are \(known)"))
    }

    private func isWanted(_ slot: Slot, _ type: OriginType) -> Bool {
        if slot.lane == .wildcard { return type.wildcard != nil }
        guard let feed = type.named else { return false }
        return feed.names[slot.name] != nil || feed.members[slot.name] != nil
    }

    /// What takes clients to an earlier state of a name; nil if they are there. What has outlived its time is not brought
    /// back.
    private func change(
        _ slot: Slot, to presence: Presence, _ type: OriginType, _ now: Instant
    ) -> ResourceChange? {
        let isOver = (presence.resource?.timeToLive?.expires).map { $0 <= now } ?? false
        let presence = isOver ? .absent : presence
        guard !type.servedPresence(slot).isSame(as: presence) else { return nil }
        // What is being asked for is answered first.
        if case .unknown = type.presence(slot) { return nil }
        return ResourceChange(
            lane: slot.lane, name: slot.name, presence: presence,
            collection: slot.lane == .named ? type.named?.members[slot.name] : nil)
    }
}

/// What a push takes from a set.
private struct Loss {
    /// Resources there were.
    var before: Int
    var left: Int
    var came: Int
    /// What left in pushes right before this one.
    var departed: Int

    func reason(_ guards: GuardPolicy) -> HoldReason? {
        let whole = self.before + self.departed
        guard self.left > 0, whole >= guards.emptyMin else { return nil }
        if self.before - self.left + self.came == 0 { return guards.holdsEmpty ? .empty : nil }
        let gone = self.left + self.departed
        // Both are numbers of resources: far from overflow.
        return guards.shrinkPercent > 0 && gone * 100 >= guards.shrinkPercent * whole ? .shrink : nil
    }

    var text: String {
        let rest = self.before - self.left + self.came
        let earlier = self.departed > 0 ? ", after \(self.departed) right before" : ""
        return "it removes \(self.left) of \(self.before) resources\(earlier) and leaves \(rest)"
    }
}
