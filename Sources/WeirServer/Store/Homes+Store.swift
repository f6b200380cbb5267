import WeirBase
import WeirEngine
import WeirLoop
import WeirObserve
import WeirStore

/// A group that has just been opened and waits to hear what is stored of it. What its workers say meanwhile is kept.
struct StoreQuestion {
    var ticket: Int
    var until: Instant
    var commands: [(worker: Int, command: GroupCommand)] = []

    /// The store is asked for so long; then the group goes on without.
    static let timeout = Nanoseconds.seconds(2)
    /// And for no more than so many words of its workers.
    static let commandsMax = 10_000
}

/// What homes have to do with the store.
extension Homes {
    private func inStore(_ group: HomeGroup) -> StoreGroup {
        StoreGroup(upstream: group.upstream, key: group.origin.key)
    }

    // MARK: Opening a group

    /// Asks what is stored of a group.
    func askStore(_ group: HomeGroup) {
        guard let store = self.shared.store, group.origin.variant != nil else { return }
        self.storeTickets += 1
        let question = StoreQuestion(ticket: self.storeTickets, until: self.loop.now + StoreQuestion.timeout)
        guard store.mailbox.post(.opened(self.inStore(group), worker: self.worker, ticket: question.ticket)) else {
            return
        }
        group.storeQuestion = question
    }

    /// Keeps a worker's words to a group that waits for the store. Returns false if it does not.
    func keepForLater(_ key: String, _ worker: Int, _ command: GroupCommand) -> Bool {
        guard let group = self.groups[key], group.storeQuestion != nil else { return false }
        group.storeQuestion?.commands.append((worker, command))
        if group.storeQuestion?.commands.count ?? 0 >= StoreQuestion.commandsMax { self.goOn(group, with: []) }
        return true
    }

    /// The store has answered; too late, perhaps.
    func restored(key: String, ticket: Int, _ types: [RestoredType]) {
        guard let group = self.groups[key], group.storeQuestion?.ticket == ticket else { return }
        self.goOn(group, with: types)
    }

    private func goOn(_ group: HomeGroup, with types: [RestoredType]) {
        guard let question = group.storeQuestion else { return }
        group.storeQuestion = nil
        if !types.isEmpty {
            group.origin.restore(types)
            self.shared.noteAnswer()
            self.shared.metrics.storeRestored.add(1)
            self.shared.logger.log(
                .info, "group restored from the store",
                [
                    ("key", group.origin.key), ("types", String(types.count)),
                    ("resources", String(types.reduce(0) { $0 + $1.entries.count })),
                ])
        }
        for (worker, command) in question.commands { self.receive(key: group.origin.key, from: worker, command) }
    }

    func tickStore(_ now: Instant) {
        guard self.shared.store != nil else { return }
        for group in self.groups.values {
            guard let question = group.storeQuestion, question.until <= now else { continue }
            self.shared.logger.log(
                .error, "the store does not answer: the group goes on without it", [("key", group.origin.key)])
            self.goOn(group, with: [])
        }
        let debts = self.storeDebts
        self.storeDebts.removeAll()
        for key in debts { self.offerEverythingToStore(key) }
    }

    // MARK: What changed

    /// Everything that groups have, or one group.
    func offerEverythingToStore(_ key: String?) {
        for group in self.groups.values where key == nil || group.origin.key == key {
            group.origin.offerEverythingToStore()
            self.takeStoreUpdates(group)
        }
        self.postToStore()
    }

    func takeStoreUpdates(_ group: HomeGroup) {
        guard group.origin.hasStoreUpdates else { return }
        self.storeEntries.append(StoreEntry(group: self.inStore(group), updates: group.origin.takeStoreUpdates()))
    }

    /// Hands over what gathered in a round, after it was pushed.
    func postToStore() {
        guard !self.storeEntries.isEmpty, let store = self.shared.store else { return }
        if !store.mailbox.post(.changed(self.storeEntries)) {
            self.storeDebts.formUnion(self.storeEntries.map(\.group.key))
        }
        self.storeEntries.removeAll()
    }

    func closeInStore(_ group: HomeGroup) {
        self.takeStoreUpdates(group)
        self.shared.store?.mailbox.post(.closed(self.inStore(group)))
    }
}
