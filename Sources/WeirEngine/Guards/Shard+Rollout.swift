import WeirBase
import WeirXDS

/// Two views of one type of a group, while some of its streams get pushes first: theirs, and that of all the others. Each
/// stream is in one of them; in whatever the two do not differ they are told the same.
struct Staging {
    /// In the view of the others: the view of the first.
    var first = TypeStream.none
    /// In the view of the first: the view of the others.
    var rest = TypeStream.none
    /// In the view of the others: what both together want, as the home was told.
    var told = ToldInterest()
    /// In the view of the first: whether it holds what the others do not have.
    var isAhead = false
    /// The generation before it did.
    var base: Generation = 0
    var trial: ViewTrial?
}

/// What the home of a group was told that a worker wants.
struct ToldInterest {
    var names: Set<String> = []
    var wildcard = false
}

/// A push that the first streams of a worker are to answer.
struct ViewTrial {
    struct Member {
        var agent: String
        /// The newest response before the push.
        var nonce: Nonce
    }

    let id: Int
    /// Those that have not answered, by type stream.
    var awaited: [Int32: Member] = [:]
}

extension Shard {
    /// Does what the home of a group wants done with a push that a few streams get first.
    package func rollout(group key: String, _ order: RolloutOrder) {
        guard let main = self.mainView(key, order.typeURL), let view = self.views[Int(main)], view.generation > 0 else {
            return self.reportNothing(key, order)
        }
        switch order {
        case .count(let trial, let update):
            self.report(key, update, trial, .counted(self.count(update, view)))
        case .give(let trial, let update, let shares):
            self.give(key, trial, update, shares, main, view)
        }
    }

    /// A new state for one view or both.
    func update(_ index: Int32, _ view: TypeView, staged update: TypeUpdate) {
        if update.audience == .all || update.audience == .rest { self.update(index, view, update) }
        guard update.audience != .rest, let first = self.firstView(of: view) else { return }
        self.update(view.staging.first, first, update.without { first.holds($0) })
        guard update.audience != .first else { return }
        first.staging.isAhead = false
        first.staging.trial = nil
    }

    func mainView(_ key: String, _ typeURL: String) -> Int32? {
        guard let group = self.groupIndex[key] else { return nil }
        return self.groups[Int(group)]?.views.first { self.views[Int($0)]?.type.typeURL == typeURL }
    }

    private func report(_ key: String, _ update: TypeUpdate, _ trial: Int, _ content: RolloutReport.Content) {
        self.commands.append((key, .rollout(RolloutReport(typeURL: update.typeURL, trial: trial, content))))
    }

    private func reportNothing(_ key: String, _ order: RolloutOrder) {
        switch order {
        case .count(let trial, let update): self.report(key, update, trial, .counted([:]))
        case .give(let trial, let update, _): self.report(key, update, trial, .given([:]))
        }
    }

    // MARK: Counting

    private func count(_ update: TypeUpdate, _ view: TypeView) -> [String: TrialCount] {
        var counts: [String: TrialCount] = [:]
        for index in self.movable(in: view, concernedBy: update) {
            counts[self.agent(of: index), default: .init()].others += 1
        }
        guard let first = self.firstView(of: view) else { return counts }
        for index in self.members(of: first, concernedBy: update) {
            counts[self.agent(of: index), default: .init()].firsts += 1
        }
        return counts
    }

    private func firstView(of view: TypeView) -> TypeView? {
        view.staging.first == TypeStream.none ? nil : self.views[Int(view.staging.first)]
    }

    private func agent(of index: Int32) -> String { self.streams[self.id(ofStream: index)]?.identity?.agent ?? "" }

    /// The subscriptions that an update concerns.
    private func concerned(by update: TypeUpdate, in view: TypeView) -> [Int32] {
        let isWild = update.changes.contains { $0.lane == .wildcard }
        let names = Set(update.changes.compactMap { view.existingID(of: $0.name) })
        return view.subscriptions.indices.compactMap { index in
            guard let content = view.subscriptions[index]?.content else { return nil }
            if isWild, content.wildcard { return Int32(index) }
            return names.contains { view.isNamed($0, by: content) } ? Int32(index) : nil
        }
    }

    /// Streams that hold what all hold, and did not reject it: idle ones before those that are to answer something.
    private func movable(in view: TypeView, concernedBy update: TypeUpdate) -> [Int32] {
        var idle: [Int32] = []
        var awaiting: [Int32] = []
        for subscription in self.concerned(by: update, in: view) {
            let changed = view.subscriptions[Int(subscription)]?.changed ?? 0
            for index in view.subscriptions[Int(subscription)]?.cohorts ?? [] {
                let cohort = view.cohorts[Int(index)]
                guard cohort.generation >= changed else { continue }
                idle += cohort.idle.filter { self.isMovable($0) }
                awaiting += cohort.awaiting.filter { self.isMovable($0) }
            }
        }
        return idle + awaiting
    }

    private func isMovable(_ index: Int32) -> Bool {
        let record = self.typeStreams[Int(index)]
        guard record.cohort != TypeStream.none, let view = self.views[Int(record.view)],
            !self.isSelfCheck(stream: record.stream)
        else { return false }
        return !record.isRejected && !record.isBehind && !record.isDue && !record.isEnlisted
            && record.owed == TypeStream.none
            && view.cohorts[Int(record.cohort)].generation >= view.subscriptions[Int(record.subscription)]?.changed ?? 0
    }

    /// The streams of a view that an update concerns.
    private func members(of view: TypeView, concernedBy update: TypeUpdate) -> [Int32] {
        let concerned = Set(self.concerned(by: update, in: view))
        return self.members(of: view).filter { concerned.contains(self.typeStreams[Int($0)].subscription) }
    }

    /// All streams of a view of first ones, which are few.
    private func members(of view: TypeView) -> [Int32] {
        self.typeStreams.indices.compactMap { index in
            let record = self.typeStreams[index]
            guard record.stream != TypeStream.none, self.views[Int(record.view)] === view else { return nil }
            return Int32(index)
        }
    }

    // MARK: Giving

    private func give(
        _ key: String, _ trial: Int, _ update: TypeUpdate, _ shares: [String: Int], _ main: Int32, _ view: TypeView
    ) {
        var shares = shares
        if let first = self.firstView(of: view) { self.keepFirsts(&shares, first, update, main) }
        var chosen: [Int32] = []
        for index in self.movable(in: view, concernedBy: update) {
            guard let left = shares[self.agent(of: index)], left > 0 else { continue }
            shares[self.agent(of: index)] = left - 1
            chosen.append(index)
        }
        if !chosen.isEmpty, view.staging.first == TypeStream.none { self.makeFirstView(main, view) }
        let place = view.staging.first
        guard place != TypeStream.none, let first = self.views[Int(place)] else {
            return self.report(key, update, trial, .given([:]))
        }
        for index in chosen { self.transfer(index, to: place) }
        self.try(update, trial, place, first, key)
    }

    /// Keeps as many of those who got earlier pushes first as there is room for; the others join everybody again, unless
    /// they have something that everybody does not.
    private func keepFirsts(_ shares: inout [String: Int], _ first: TypeView, _ update: TypeUpdate, _ main: Int32) {
        let concerned = Set(self.members(of: first, concernedBy: update))
        for index in self.members(of: first) {
            let agent = self.agent(of: index)
            if let left = shares[agent], left > 0, concerned.contains(index) {
                shares[agent] = left - 1
            } else if !first.staging.isAhead, self.isMovable(index) {
                self.transfer(index, to: main)
            }
        }
    }

    private func `try`(_ update: TypeUpdate, _ trial: Int, _ place: Int32, _ first: TypeView, _ key: String) {
        if !first.staging.isAhead { first.staging.base = first.generation }
        first.staging.isAhead = true
        var members: [Int32: ViewTrial.Member] = [:]
        for index in self.members(of: first) {
            members[index] = ViewTrial.Member(
                agent: self.agent(of: index), nonce: self.typeStreams[Int(index)].nonce)
        }
        self.update(place, first, update.without { first.holds($0) })
        let generation = first.generation
        var state = ViewTrial(id: trial)
        var given: [String: Int] = [:]
        for (index, member) in members {
            let record = self.typeStreams[Int(index)]
            let isConcerned =
                record.isDue
                || record.subscription != TypeStream.none
                    && first.subscriptions[Int(record.subscription)]?.changed == generation
            guard isConcerned, record.isAwaiting || record.isBehind || record.isDue else { continue }
            state.awaited[index] = member
            given[member.agent, default: 0] += 1
        }
        first.staging.trial = state
        self.report(key, update, trial, .given(given))
    }

    /// A view that is like another one, for the streams that get pushes first.
    private func makeFirstView(_ main: Int32, _ view: TypeView) {
        // What is wanted must be told before two views want it.
        if let change = view.takeInterest() { self.tell(change, view) }
        let first = TypeView(copying: view)
        let index: Int32
        if let free = self.freeViews.popLast() {
            index = free
            self.views[Int(index)] = first
        } else {
            index = Int32(self.views.count)
            self.views.append(first)
        }
        self.groups[Int(view.group)]?.views.append(index)
        first.staging.rest = main
        view.staging.first = index
        view.staging.told = view.wanted
    }

    /// Moves a stream that holds what all hold to the other view of its type.
    private func transfer(_ index: Int32, to place: Int32) {
        let record = self.typeStreams[Int(index)]
        guard record.cohort != TypeStream.none, let from = self.views[Int(record.view)], let to = self.views[Int(place)]
        else { return }
        let isDelta = from.cohorts[Int(record.cohort)].isDelta
        let content = self.content(of: index, from).translated(from, to)
        let version = self.sentVersion(index)
        let hasAccepted = !record.isAwaiting && self.versions[Int(index)].acceptedGeneration > 0
        self.detach(index)
        if record.isUnsettled {
            from.unsettled -= 1
            to.unsettled += 1
        }
        from.detached -= 1
        from.streams -= 1
        to.detached += 1
        to.streams += 1
        let subscription = to.retain(content)
        from.release(record.subscription)
        self.typeStreams[Int(index)].view = place
        self.typeStreams[Int(index)].subscription = subscription
        self.versions[Int(index)].acceptedGeneration = hasAccepted ? to.generation : 0
        self.touchedViews.formUnion([record.view, place])
        if to.staging.isAhead {
            self.typeStreams[Int(index)].base = to.staging.base
            self.makeDue(index)
        } else {
            self.typeStreams[Int(index)].base = to.generation
            self.join(index, cohort: to.currentCohort(of: subscription, isDelta: isDelta, version: version), in: to)
        }
    }

    // MARK: Answers

    /// One of the first streams has accepted everything it was sent.
    func noteTried(_ index: Int32, _ view: TypeView) {
        guard view.isTrying, !self.typeStreams[Int(index)].isRejected else { return }
        self.answerTrial(index, view, .accepted)
    }

    /// One of the first streams rejected a response, so many before its newest.
    func noteRejected(_ index: Int32, age: UInt32, _ message: String, _ view: TypeView) {
        guard let member = view.staging.trial?.awaited[index] else { return }
        guard age < self.typeStreams[Int(index)].nonce.distance(to: member.nonce) else { return }
        let node = self.streams[self.id(ofStream: index)]?.identity?.id ?? ""
        self.answerTrial(index, view, .rejected(node: node, message: message))
    }

    func answerTrial(_ index: Int32, _ view: TypeView, _ answer: TrialAnswer) {
        guard let trial = view.staging.trial, let member = view.staging.trial?.awaited.removeValue(forKey: index) else {
            return
        }
        let report = RolloutReport(
            typeURL: view.type.typeURL, trial: trial.id, .answered(agent: member.agent, answer))
        self.commands.append((self.groups[Int(view.group)]?.key ?? "", .rollout(report)))
    }

    // MARK: Interest

    /// Tells the home of a group what changed in what a view wants; for two views of one type, in what both together do.
    func tell(_ change: InterestChange, _ view: TypeView) {
        guard let key = self.groups[Int(view.group)]?.key else { return }
        guard let main = view.staging.rest == TypeStream.none ? view : self.views[Int(view.staging.rest)],
            let first = self.firstView(of: main)
        else { return self.commands.append((key, .interest(change))) }
        var merged = InterestChange(typeURL: change.typeURL)
        merged.renewed = change.renewed
        let wantsAll = !main.wildcardSubscriptions.isEmpty || !first.wildcardSubscriptions.isEmpty
        if change.wildcard != nil, wantsAll != main.staging.told.wildcard {
            merged.wildcard = wantsAll
            main.staging.told.wildcard = wantsAll
        }
        for name in change.added + change.removed {
            if main.wants(name) || first.wants(name) {
                if main.staging.told.names.insert(name).inserted { merged.added.append(name) }
            } else if main.staging.told.names.remove(name) != nil {
                merged.removed.append(name)
            }
        }
        if !merged.isEmpty { self.commands.append((key, .interest(merged))) }
    }

    /// Whether any stream of a view, or of the other view of its type, subscribes to anything.
    func isWanted(_ view: TypeView) -> Bool {
        if view.isWanted { return true }
        let other = max(view.staging.first, view.staging.rest)
        return other != TypeStream.none && self.views[Int(other)]?.isWanted == true
    }

    /// The view of the first streams is empty: there is one view again. Returns that.
    func dissolve(_ first: TypeView) -> Int32 {
        let place = first.staging.rest
        guard let main = self.views[Int(place)] else { return place }
        if let change = main.takeInterest() { self.tell(change, main) }
        main.staging = Staging()
        return place
    }
}

extension TypeUpdate {
    /// The same without what is there already.
    func without(_ isThere: (ResourceChange) -> Bool) -> TypeUpdate {
        guard !self.isFull else { return self }
        var update = self
        update.changes.removeAll(where: isThere)
        return update
    }
}

extension Subscription.Content {
    /// The same wish in the names of another view.
    func translated(_ from: TypeView, _ to: TypeView) -> Self {
        var content = self
        content.names = self.names.map { to.id(of: from[$0].name) }.sorted()
        content.globs = self.globs.map { to.id(of: from[$0].name) }.sorted()
        return content
    }
}

extension TypeView {
    /// A view of the same content, without streams.
    convenience init(copying other: TypeView) {
        self.init(type: other.type, group: other.group, counterRow: other.counterRow)
        var changes: [ResourceChange] = []
        for index in other.entries.indices where other.entries[index].isInUse {
            let entry = other.entries[index]
            let id = NameID(rawValue: Int32(index))
            if let resource = entry.wild {
                changes.append(ResourceChange(lane: .wildcard, name: entry.name, presence: .present(resource)))
            }
            if case .unknown = entry.named {
            } else {
                changes.append(
                    ResourceChange(
                        lane: .named, name: entry.name, presence: entry.named,
                        collection: entry.subscribers.isEmpty ? other.collections.collection(of: id) : nil))
            }
            if let known = other.errors[id] {
                changes.append(
                    ResourceChange(
                        lane: known.lane, name: entry.name, presence: .unknown, isRefresh: true, error: known.error))
            }
        }
        _ = self.apply(
            TypeUpdate(
                typeURL: other.type.typeURL, generation: other.generation, isFull: true, changes: changes,
                wildcardKnown: other.wildcardKnownAt > 0, version: other.version,
                equalVersions: other.equalVersions, passesVersionToSotW: other.passesVersionToSotW,
                receivedAt: other.receivedAt, receivedAtWall: other.updatedAt ?? WallTime(rawValue: 0)))
        self.doubted = self.ids(of: other.doubted, in: other)
        self.doubtedMembers = self.ids(of: other.doubtedMembers, in: other)
        self.endRound()
        self.track = other.track
    }

    private func ids(of names: Set<NameID>, in other: TypeView) -> Set<NameID> {
        Set(names.compactMap { self.existingID(of: other[$0].name) })
    }

    /// What its streams want.
    var wanted: ToldInterest {
        ToldInterest(
            names: Set(self.entries.filter { $0.isInUse && !$0.subscribers.isEmpty }.map(\.name)),
            wildcard: !self.wildcardSubscriptions.isEmpty)
    }

    func wants(_ name: String) -> Bool { self.existingID(of: name).map { !self[$0].subscribers.isEmpty } ?? false }

    /// Whether a change removes from the wildcard what was never in this view: only the other one of its type had it.
    func isAboutNothing(_ change: ResourceChange) -> Bool {
        change.lane == .wildcard && change.error == nil && change.presence.resource == nil
            && self.existingID(of: change.name) == nil
    }

    /// Whether a change says what is there already.
    func holds(_ change: ResourceChange) -> Bool {
        guard !change.isRefresh, change.error == nil else { return false }
        let id = self.existingID(of: change.name)
        if let id = id, self.doubted.contains(id) || self.doubtedMembers.contains(id) { return false }
        if change.lane == .wildcard { return change.presence.resource === id.flatMap { self[$0].wild } }
        let named = id.map { self[$0].named } ?? .unknown
        switch (named, change.presence) {
        case (.present(let a), .present(let b)): return a === b && !b.mustBeFetched
        case (.absent, .absent), (.populated, .populated), (.unknown, .unknown): return true
        default: return false
        }
    }
}
