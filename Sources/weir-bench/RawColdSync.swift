import WeirBase
import WeirLoop

/// The floor of a sync from cold: one thread that accepts N connections, reads what a client of clusters and endpoints says,
/// and answers with as many bytes, in as many writes, as weir does; nothing is understood. Reports its processor time. The
/// clients are on a thread of their own, and on a core of their own if one is given.
func rawColdSync(_ options: Options) throws {
    let count = try options.number("sockets")
    let talk = Conversation(bytes: try options.number("bytes"))
    let clientsCore = options.optional("readers-core").flatMap { UInt32($0) }
    let listener = try Socket.listen(
        on: try SocketAddress(parsing: "127.0.0.1:0"), reusePort: false, backlog: 4096)
    guard let address = Socket.localAddress(listener) else { throw UsageError("no address") }
    let loop = Loop()
    let server = ColdServer(loop: loop, listener: listener, count: count, talk: talk)
    let thread = WorkerThread(name: "clients") {
        if let core = clientsCore { WorkerThread.stay(onProcessor: core) }
        ColdClients(count: count, address: address, talk: talk).run()
    }
    let before = threadTime()
    server.run()
    let time = threadTime() - before
    thread.join()
    report(
        "raw_cold",
        [
            ("sockets", String(count)), ("bytes", String(talk.answers.reduce(0, +))),
            ("cpu_ms", milliseconds(Nanoseconds(rawValue: time))),
        ])
}

/// Who says how much, turn by turn: the first request with what HTTP/2 begins with, an ACK with a list of names, an ACK.
private struct Conversation: Sendable {
    let requests = [400, 3000, 60]
    let answers: [Int]

    init(bytes: Int) { self.answers = [bytes / 3, bytes - bytes / 3, 0] }
}

/// One end of a conversation: the turn it is in, and the bytes received in that.
private final class Connection {
    var watcher: IOWatcher?
    var turn = 0
    var received = 0

    /// Watches a descriptor until the connection is let go of.
    init(_ loop: Loop, _ descriptor: CInt, _ interest: Readiness, _ ready: @escaping (Connection) -> Void) {
        let watcher = IOWatcher(loop: loop, descriptor: descriptor) { [unowned self] _ in ready(self) }
        watcher.interest = interest
        self.watcher = watcher
    }
}

private final class ColdServer {
    private let loop: Loop
    private let listener: CInt
    private let count: Int
    private let talk: Conversation
    private let answers: [[UInt8]]
    private let buffer = ReadBuffer(capacity: 64 << 10)
    private var connections: [Connection] = []
    private var done = 0

    init(loop: Loop, listener: CInt, count: Int, talk: Conversation) {
        self.loop = loop
        self.listener = listener
        self.count = count
        self.talk = talk
        self.answers = talk.answers.map { [UInt8](repeating: 7, count: $0) }
    }

    func run() {
        let watcher = IOWatcher(loop: self.loop, descriptor: self.listener) { [unowned self] _ in self.accept() }
        watcher.interest = .read
        self.loop.run()
        watcher.cancel()
        for connection in self.connections { connection.watcher?.cancel() }
    }

    private func accept() {
        for _ in 0..<64 {
            guard let (descriptor, _) = try? Socket.accept(self.listener) else { return }
            self.connections.append(
                Connection(self.loop, descriptor, .read) { [unowned self] in self.readable($0, descriptor) })
        }
    }

    private func readable(_ connection: Connection, _ descriptor: CInt) {
        guard case .bytes(let count)? = try? self.buffer.read(from: descriptor) else { return }
        connection.received += count
        guard connection.turn < self.talk.requests.count, connection.received >= self.talk.requests[connection.turn]
        else { return }
        connection.received = 0
        writeAll(descriptor, self.answers[connection.turn])
        connection.turn += 1
        guard connection.turn == self.talk.requests.count else { return }
        self.done += 1
        if self.done == self.count { self.loop.stop() }
    }
}

private final class ColdClients {
    private let loop = Loop()
    private let count: Int
    private let address: SocketAddress
    private let talk: Conversation
    private let requests: [[UInt8]]
    private let buffer = ReadBuffer(capacity: 256 << 10)
    private var connections: [Connection] = []
    private var done = 0

    init(count: Int, address: SocketAddress, talk: Conversation) {
        self.count = count
        self.address = address
        self.talk = talk
        self.requests = talk.requests.map { [UInt8](repeating: 9, count: $0) }
    }

    func run() {
        let timer = TimerWatcher(loop: self.loop) { [unowned self] in self.connect() }
        timer.start(after: .zero, every: .milliseconds(1))
        self.loop.run()
        timer.cancel()
        for connection in self.connections { connection.watcher?.cancel() }
    }

    private func connect() {
        for _ in 0..<64 where self.connections.count < self.count {
            guard let descriptor = try? Socket.connect(to: self.address) else { return }
            self.connections.append(
                Connection(self.loop, descriptor, .write) { [unowned self] in self.ready($0, descriptor) })
        }
    }

    private func ready(_ connection: Connection, _ descriptor: CInt) {
        if connection.watcher?.interest == .write {
            connection.watcher?.interest = .read
            return writeAll(descriptor, self.requests[0])
        }
        guard case .bytes(let count)? = try? self.buffer.read(from: descriptor) else { return }
        connection.received += count
        guard connection.turn < 2, connection.received >= self.talk.answers[connection.turn] else { return }
        connection.received = 0
        connection.turn += 1
        writeAll(descriptor, self.requests[connection.turn])
        guard connection.turn == 2 else { return }
        self.done += 1
        if self.done == self.count { self.loop.stop() }
    }
}
