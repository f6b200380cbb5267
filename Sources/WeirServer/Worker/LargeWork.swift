import Glibc
import WeirBase
import WeirEngine
import WeirLoop

/// The thread on which homes do what takes long with a large group, one thing after the other.
///
/// A worker's loop serves everybody that is on it. What a response with 100,000 resources costs at the group's home (to read
/// and compare it, to apply it, to put together what workers are told) would hold it up for a second. So the group goes
/// to this thread, with all that it is, and comes back when that is done: at any time one thread has it, and the engine
/// needs to know nothing of that.
final class LargeWork: Sendable {
    private enum Job: Sendable {
        case run(@Sendable () -> Void)
        case stop
    }

    /// Groups that may wait; each has at most one thing to be done.
    private let mailbox = Mailbox<Job>(capacity: 65_536)
    private let thread: Locked<WorkerThread?> = Locked(nil)

    init() {
        let mailbox = self.mailbox
        let thread = WorkerThread(name: "weir-large", stackSize: 8 << 20) {
            let loop = Loop()
            let inbox = Inbox(loop: loop, mailbox: mailbox) { jobs in
                for job in jobs {
                    switch job {
                    case .run(let body): body()
                    case .stop: loop.stop()
                    }
                }
            }
            loop.run()
            inbox.cancel()
        }
        self.thread.withLock { $0 = thread }
    }

    /// Runs `body` when all that was given before has run. Returns false if too much waits.
    func run(_ body: @escaping @Sendable () -> Void) -> Bool { self.mailbox.post(.run(body)) }

    /// To be called when nobody gives it anything more.
    func stop() {
        self.mailbox.close(after: .stop)
        self.thread.withLock { $0 }?.join()
    }
}

/// What is done with a group while it is away, and whether it is done.
///
/// Unchecked: it is handed over and back. The worker does not touch the group from when it is posted until it is done, and
/// both mailbox and lock order what the two threads do.
final class Handed: @unchecked Sendable {
    private let body: () -> Void
    private let isDone = Locked(false)

    init(_ body: @escaping () -> Void) { self.body = body }

    func run() {
        self.body()
        self.isDone.withLock { $0 = true }
    }

    var isBack: Bool { self.isDone.withLock { $0 } }
}

/// What a group that is away must not be asked, as it was before it left.
struct AwayStatus {
    let origin: OriginState
    let types: [OriginTypeStatus]
}

extension HomeGroup {
    /// Whether the group is on the thread for large work: then nothing of it may be touched here.
    var isAway: Bool { self.away != nil }

    /// What is known of its types, for people; of before it left, if it is away.
    var statuses: AwayStatus {
        self.statusBefore ?? AwayStatus(origin: self.group.own.origin, types: self.group.typeStatuses)
    }
}

extension Homes {
    /// Resources, or names, from which on what is done with them is large: some milliseconds.
    static let largeMin = 2_000
    /// Bytes of a response that stand for one resource where nobody has counted.
    static let bytesPerResource = 128
    /// What may wait for a group that is away. Beyond, its worker waits for it.
    static let waitingMax = 65_536
    static let waitingBytesMax = 256 << 20

    /// Does something with a group, and what the group asks for then: at once, or, where it is large, on the thread for
    /// that. `then` runs here after it.
    func work(
        on home: HomeGroup, weight: Int, _ body: @escaping () -> Void, then: @escaping () -> Void = {}
    ) {
        guard weight >= Self.largeMin else {
            body()
            self.carryOut(home)
            return then()
        }
        let handed = Handed(body)
        home.leave(handed, then: then)
        let key = home.group.key
        let link = self.shared.links[self.worker]
        let isTaken = self.shared.large.run {
            handed.run()
            // Should its box be full, it looks by itself (`tickAway`).
            link.post(.perform { $0.homes.isDone(handed, key: key) })
        }
        if isTaken { return }
        handed.run()
        self.takeBack(home)
    }

    /// Keeps what is to be done with a group until it is back. Returns false if it is here, or there is none.
    func waits(_ key: String, bytes: Int = 0, _ body: @escaping (Homes) -> Void) -> Bool {
        guard let home = self.groups[key], home.isAway else { return false }
        home.waitingBytes += bytes
        if home.wait(body) > Self.waitingMax || home.waitingBytes > Self.waitingBytesMax { self.fetch(home) }
        return true
    }

    /// Runs `body` when none of these groups is away.
    func whenHere(_ keys: [String], _ body: @escaping (Homes) -> Void) {
        for key in keys where self.waits(key, { $0.whenHere(keys, body) }) { return }
        body(self)
    }

    /// The word that a group is back. It is back already if it was fetched.
    private func isDone(_ handed: Handed, key: String) {
        guard let home = self.groups[key], home.away === handed else { return }
        self.takeBack(home)
    }

    /// Looks for groups that are back. To be called ten times a second.
    func tickAway() {
        for home in self.groups.values where home.away?.isBack == true { self.takeBack(home) }
    }

    private func takeBack(_ home: HomeGroup) {
        let then = home.comeBack()
        self.carryOut(home)
        then()
        home.waitingBytes = 0
        let waiting = home.takeWaiting()
        for (index, body) in waiting.enumerated() {
            // Some of what waited may make it leave again: the rest goes on waiting.
            if home.isAway { return home.putBack(waiting[index...]) }
            body(self)
        }
    }

    /// Waits for a group, as too much waits for it.
    private func fetch(_ home: HomeGroup) {
        guard let handed = home.away else { return }
        while !handed.isBack { usleep(1_000) }
        self.takeBack(home)
    }
}
