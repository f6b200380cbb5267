import WeirBase
import WeirLoop

/// Accepted connections that wait for their turn, on one loop; nothing is read from them and no TLS is made for them.
/// As long as the admission's rate and time allow: it refuses what would wait longer.
///
/// No turn is spent on a client that has left, and none on one that has waited too long because the loop was busy: that
/// one is about to leave, and a handshake with it would make the next ones late, too.
final class AdmissionQueue {
    struct Entry {
        var descriptor: CInt
        var peer: SocketAddress
        var turn: Instant
        var latest: Instant
    }

    private let loop: Loop
    private let pace: () -> Int
    private let begin: (Entry) -> Void
    private let giveUp: (Entry, _ reason: String) -> Void
    private var entries: ContiguousArray<Entry> = []
    private var head = 0
    private var timer: TimerWatcher?

    /// - Parameters:
    ///   - pace: how many may begin in one turn of the loop.
    ///   - begin: told whose turn it is; takes over the descriptor.
    ///   - giveUp: told who has waited in vain; takes over the descriptor.
    init(
        loop: Loop, pace: @escaping () -> Int, begin: @escaping (Entry) -> Void,
        giveUp: @escaping (Entry, _ reason: String) -> Void
    ) {
        self.loop = loop
        self.pace = pace
        self.begin = begin
        self.giveUp = giveUp
        self.timer = TimerWatcher(loop: loop) { [unowned self] in self.serve() }
    }

    var isEmpty: Bool { self.head == self.entries.count }

    func add(_ entry: Entry) {
        self.entries.append(entry)
        if self.timer?.isActive == false { self.schedule() }
    }

    /// Forgets all that wait; they are the caller's to close.
    func removeAll() -> ArraySlice<Entry> {
        let rest = Array(self.entries)[self.head...]
        self.entries = []
        self.head = 0
        self.timer?.cancel()
        return rest
    }

    private func schedule() {
        guard self.head < self.entries.count else { return }
        self.timer?.start(after: max(.milliseconds(1), self.entries[self.head].turn - self.loop.now))
    }

    private func serve() {
        let now = self.loop.now
        var left = self.pace()
        // Turns of those who do not take theirs; whoever is next may.
        var spare = 0
        while self.head < self.entries.count {
            let entry = self.entries[self.head]
            let isDue = entry.turn <= now
            guard isDue || spare > 0 else { break }
            if let reason = self.reasonToGiveUp(entry, now) {
                self.head += 1
                if isDue { spare += 1 }
                self.giveUp(entry, reason)
                continue
            }
            guard left > 0 else { break }
            left -= 1
            if !isDue { spare -= 1 }
            self.head += 1
            self.begin(entry)
        }
        if self.isEmpty || self.head > 1024 {
            self.entries.removeFirst(self.head)
            self.head = 0
        }
        self.schedule()
    }

    private func reasonToGiveUp(_ entry: Entry, _ now: Instant) -> String? {
        if Socket.hasHungUp(entry.descriptor) { return "left while it waited for its turn" }
        return now > entry.latest ? "was refused: its turn came too late" : nil
    }
}
