import WeirBase
import WeirLoop

/// The thread on which answers become text.
final class AdminThread: Sendable {
    private enum Job: Sendable {
        case run(@Sendable () -> Void)
        case later(Nanoseconds, @Sendable () -> Void)
        case stop
    }

    /// Answers that may wait; each belongs to an open HTTP connection or a call, of which there are fewer.
    private let mailbox = Mailbox<Job>(capacity: 4096)
    private let thread: Locked<WorkerThread?> = Locked(nil)

    init(name: String = "weir-admin") {
        let mailbox = self.mailbox
        let thread = WorkerThread(name: name, stackSize: 8 << 20) {
            let loop = Loop()
            let delays = Delays(loop)
            let inbox = Inbox(loop: loop, mailbox: mailbox) { jobs in
                for job in jobs {
                    switch job {
                    case .run(let body): body()
                    case .later(let delay, let body): delays.add(delay, body)
                    case .stop: loop.stop()
                    }
                }
            }
            loop.run()
            delays.cancel()
            inbox.cancel()
        }
        self.thread.withLock { $0 = thread }
    }

    /// Runs `body` when all that was given before has run. It is dropped if too much waits, and once the thread has
    /// stopped.
    func run(_ body: @escaping @Sendable () -> Void) { self.mailbox.post(.run(body)) }

    /// Runs `body` after a while.
    func run(after delay: Nanoseconds, _ body: @escaping @Sendable () -> Void) {
        self.mailbox.post(.later(delay, body))
    }

    /// What was given before is done; what that gives anew is dropped.
    func stop() {
        self.mailbox.close(after: .stop)
        self.thread.withLock { $0 }?.join()
    }
}

/// What is to be done after a while. Confined to its loop.
private final class Delays {
    private let loop: Loop
    private var waiting: [(due: Instant, body: @Sendable () -> Void)] = []
    private var timer: TimerWatcher?

    init(_ loop: Loop) { self.loop = loop }

    func add(_ delay: Nanoseconds, _ body: @escaping @Sendable () -> Void) {
        self.waiting.append((Loop.monotonicNow() + delay, body))
        self.arm()
    }

    private func arm() {
        guard let next = self.waiting.map(\.due).min() else { return }
        let timer = self.timer ?? TimerWatcher(loop: self.loop) { [unowned self] in self.fire() }
        self.timer = timer
        timer.start(after: max(.milliseconds(1), next - Loop.monotonicNow()))
    }

    private func fire() {
        let now = Loop.monotonicNow()
        let due = self.waiting.filter { $0.due <= now }
        self.waiting.removeAll { $0.due <= now }
        for entry in due { entry.body() }
        self.arm()
    }

    func cancel() { self.timer?.cancel() }
}
