import WeirBase
import WeirEngine
import WeirLoop
import WeirObserve
import WeirStore

/// A group that waits to hear what is stored of it, right after it was opened and before it asks another upstream for the
/// first time. What its workers say meanwhile is kept.
struct StoreQuestion {
    /// The upstreams that the store has not answered for yet, by ticket.
    var upstreams: [Int: String]
    var until: Instant
    var commands: [(worker: Int, command: GroupCommand)] = []

    /// The store is asked for so long; then the group goes on without.
    static let timeout = Nanoseconds.seconds(2)
    /// And for no more than so many words of its workers.
    static let commandsMax = 10_000
}

/// What homes have to do with the store.
extension Homes {
    private func inStore(_ origin: HomeOrigin) -> StoreGroup {
        StoreGroup(upstream: origin.upstream, key: origin.origin.key)
    }

    // MARK: Opening a group

    /// The upstreams that a change makes a group ask for the first time: only before that can they be restored.
    func unknownUpstreams(of change: InterestChange, _ home: HomeGroup) -> [String] {
        guard self.shared.store != nil else { return [] }
        return home.group.unknownUpstreams(of: change).filter { home.stored[$0] == nil }
    }

    /// Asks what is stored of a group at upstreams that it has not asked anything yet.
    func askStore(_ home: HomeGroup, _ upstreams: [String]) {
        guard let store = self.shared.store, home.storeQuestion == nil else { return }
        var question = StoreQuestion(upstreams: [:], until: self.loop.now + StoreQuestion.timeout)
        // Files are at hand anyway.
        for upstream in upstreams where self.upstreams[upstream] != nil {
            // What changed before the group was last closed comes first.
            self.postToStore()
            self.storeTickets += 1
            let group = StoreGroup(upstream: upstream, key: home.group.key)
            guard store.mailbox.post(.opened(group, worker: self.worker, ticket: self.storeTickets)) else { continue }
            question.upstreams[self.storeTickets] = upstream
        }
        if !question.upstreams.isEmpty { home.storeQuestion = question }
    }

    /// Keeps a worker's words to a group that waits for the store. Returns false if it does not.
    func keepForLater(_ key: String, _ worker: Int, _ command: GroupCommand) -> Bool {
        guard let home = self.groups[key], home.storeQuestion != nil else { return false }
        home.storeQuestion?.commands.append((worker, command))
        if home.storeQuestion?.commands.count ?? 0 >= StoreQuestion.commandsMax { self.goOn(home) }
        return true
    }

    /// The store has answered; too late, perhaps.
    func restored(key: String, ticket: Int, _ types: [RestoredType]) {
        guard let home = self.groups[key], let upstream = home.storeQuestion?.upstreams.removeValue(forKey: ticket)
        else { return }
        home.stored[upstream] = types
        if home.storeQuestion?.upstreams.isEmpty == true { self.goOn(home) }
    }

    private func goOn(_ home: HomeGroup) {
        guard let question = home.storeQuestion else { return }
        home.storeQuestion = nil
        // Nothing, where the store has not answered: it is not asked again.
        for upstream in question.upstreams.values { home.stored[upstream] = [] }
        if home.stored[home.group.upstream] != nil, !home.isAway { self.restore(home.group.upstream, of: home) }
        for (worker, command) in question.commands { self.receive(key: home.group.key, from: worker, command) }
    }

    /// Gives a new origin of a group what the store said of it.
    func restore(_ upstream: String, of home: HomeGroup) {
        guard let types = home.stored.removeValue(forKey: upstream), !types.isEmpty,
            let origin = home.origins[upstream]
        else { return }
        let count = types.reduce(0) { $0 + $1.entries.count }
        if upstream == home.group.upstream {
            self.work(on: home, weight: count) { [origin = origin.origin] in origin.restore(types) }
        } else {
            // In the midst of what the group does.
            origin.origin.restore(types)
        }
        // The control plane may have said more since.
        origin.outOfTouchSince = self.loop.now
        self.shared.noteAnswer()
        self.shared.metrics.storeRestored.add(1)
        self.shared.logger.log(
            .info, "group restored from the store",
            [
                ("key", origin.origin.key), ("upstream", upstream), ("types", String(types.count)),
                ("resources", String(count)),
            ])
    }

    func tickStore(_ now: Instant) {
        guard self.shared.store != nil else { return }
        for home in self.groups.values {
            guard let question = home.storeQuestion, question.until <= now else { continue }
            self.shared.logger.log(
                .error, "the store does not answer: the group goes on without it", [("key", home.group.key)])
            self.goOn(home)
        }
        let debts = self.storeDebts
        self.storeDebts.removeAll()
        for key in debts { self.offerEverythingToStore(key) }
    }

    // MARK: What changed

    /// Everything that groups have, or one group.
    func offerEverythingToStore(_ key: String?) {
        for key in key.map({ [$0] }) ?? Array(self.groups.keys) { self.offerToStore(key) }
        self.postToStore()
    }

    private func offerToStore(_ key: String) {
        if self.waits(key, { $0.offerToStore(key) }) { return }
        guard let home = self.groups[key] else { return }
        // `carryOut` takes what they offer.
        self.work(on: home, weight: home.group.weight) { [origins = home.origins.values.map(\.origin)] in
            for origin in origins { origin.offerEverythingToStore() }
        }
    }

    func takeStoreUpdates(_ origin: HomeOrigin) {
        guard origin.origin.hasStoreUpdates else { return }
        self.storeEntries.append(StoreEntry(group: self.inStore(origin), updates: origin.origin.takeStoreUpdates()))
    }

    /// Hands over what gathered in a round, after it was pushed.
    func postToStore() {
        guard !self.storeEntries.isEmpty, let store = self.shared.store else { return }
        if !store.mailbox.post(.changed(self.storeEntries)) {
            self.storeDebts.formUnion(self.storeEntries.map(\.group.key))
        }
        self.storeEntries.removeAll()
    }

    func closeInStore(_ upstream: String, of home: HomeGroup) {
        guard let origin = home.origins[upstream] else { return }
        self.takeStoreUpdates(origin)
        self.shared.store?.mailbox.post(.closed(self.inStore(origin)))
    }
}
