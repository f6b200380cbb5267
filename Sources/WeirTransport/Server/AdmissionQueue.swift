import WeirBase
import WeirLoop

/// Accepted connections that wait for their turn, on one loop; nothing is read from them and no TLS is made for them.
/// As long as the admission's rate and time allow: it refuses what would wait longer.
final class AdmissionQueue {
    struct Entry {
        var descriptor: CInt
        var peer: SocketAddress
        var turn: Instant
    }

    private let loop: Loop
    private let begin: (Entry) -> Void
    private var entries: ContiguousArray<Entry> = []
    private var head = 0
    private var timer: TimerWatcher?

    /// - Parameter begin: told whose turn it is; takes over the descriptor.
    init(loop: Loop, begin: @escaping (Entry) -> Void) {
        self.loop = loop
        self.begin = begin
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
        while self.head < self.entries.count, self.entries[self.head].turn <= self.loop.now {
            self.head += 1
            self.begin(self.entries[self.head - 1])
        }
        if self.isEmpty || self.head > 1024 {
            self.entries.removeFirst(self.head)
            self.head = 0
        }
        self.schedule()
    }
}
