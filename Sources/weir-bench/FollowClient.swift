import WeirBase
import WeirHTTP2
import WeirLoop
import WeirTLS
import WeirTransport
import WeirXDS

/// Streams that follow a control plane through whatever happens to it, come back when they are cut off, and know
/// exactly what they hold.
///
/// Every stream has a connection of its own. On standard input: `state` reports how many hold what, and what befell the
/// connections; `odd DIGEST` reports what one of those holds that hold something else; `pause N` lets the first N read
/// no more, `resume` all of them again; `cut N` closes N connections; `churn N` does so every second; `quit`.
final class FollowClient: ClientConnectionDelegate {
    private struct Follower {
        var state: FollowedState
        var connection: ClientConnection?
        var stream: Int32 = 0
        var isUp = false
        var startedAt = Instant(rawValue: 0)
        var retryAt: Instant?
        var backoff: Backoff
        var isPaused = false
    }

    private let loop = Loop()
    private let transport: Transport
    private let address: SocketAddress
    private let count: Int
    private let ramp: Int
    private let tls: TLSContext?
    private let options: ClientOptions
    private let context: SessionContext
    private let node: [UInt8]
    private var followers: ContiguousArray<Follower> = []
    private var generator: SeededGenerator
    private let backoff: Backoff
    private var churn = 0
    private var nextCut = 0
    private var nextStart = 0
    private var ticks = 0
    private var timer: TimerWatcher?
    private var input: CommandInput?

    private var messages = 0
    private var undecodable = 0
    private var cuts = 0
    /// Connections that were through their handshakes, by how long that took.
    private var connectTimes: ContiguousArray<Int64> = []
    /// Attempts that ended before that: closed by the other side, or not done in time.
    private var refused = 0
    private var timedOut = 0
    private var lost = 0
    private var streamsEnded = 0

    private static let tick = Nanoseconds.milliseconds(10)
    private static let ticksPerSecond = 100
    /// Of each tick, for new connections.
    private static let startingMax = Nanoseconds.milliseconds(4)

    init(_ options: Options) throws {
        self.address = try SocketAddress(parsing: try options.text("connect"))
        self.count = try options.number("connections")
        self.ramp = max(100, try options.number("ramp", 2000))
        self.churn = try options.number("churn", 0)
        self.generator = SeededGenerator(seed: UInt64(try options.number("seed", 1)))
        self.backoff = Backoff(
            initial: .milliseconds(Int64(try options.number("backoff-initial-ms", 100))),
            max: .milliseconds(Int64(try options.number("backoff-max-ms", 1000))))
        self.tls = try options.clientTLS()
        self.transport = Transport(loop: self.loop, seed: 3) { complain("follow: \($0.text)") }
        var clientOptions = ClientOptions()
        clientOptions.connectTimeout = .milliseconds(Int64(try options.number("connect-timeout-ms", 5000)))
        self.options = clientOptions
        self.context = ClientConnection.makeContext(clientOptions)
        var node = WireWriter()
        node.string(1, "follower")
        node.string(2, try options.text("cluster", "web"))
        self.node = node.bytes
        let routes = (0..<(try options.number("routes", 1))).map { "r\($0)" }
        let variant = try options.text("variant", "both")
        for index in 0..<self.count {
            let isDelta = variant == "delta" || variant != "sotw" && index % 2 == 0
            self.followers.append(
                Follower(
                    state: FollowedState(variant: isDelta ? .delta : .sotw, routes: routes), backoff: self.backoff))
        }
    }

    func run() {
        self.input = CommandInput(self.loop) { [unowned self] words in self.command(words) }
        let start = Loop.monotonicNow()
        for index in self.followers.indices {
            self.followers[index].retryAt = start + .microseconds(Int64(index) * 1_000_000 / Int64(self.ramp))
        }
        let timer = TimerWatcher(loop: self.loop) { [unowned self] in self.work() }
        self.timer = timer
        timer.start(after: .zero, every: Self.tick)
        report("following", [])
        self.loop.run()
    }

    private func work() {
        self.ticks += 1
        if self.churn > 0, self.ticks % Self.ticksPerSecond == 0 { self.cut(self.churn) }
        let now = self.loop.now
        let start = Loop.monotonicNow()
        for place in self.followers.indices {
            // No more than can be seen through: a client that is itself too slow would only measure itself.
            guard Loop.monotonicNow() - start < Self.startingMax else { break }
            self.nextStart = (self.nextStart + (place == 0 ? 0 : 1)) % self.followers.count
            let index = self.nextStart
            guard let due = self.followers[index].retryAt, due <= now else { continue }
            self.followers[index].retryAt = nil
            self.followers[index].startedAt = Loop.monotonicNow()
            let connection = ClientConnection(
                transport: self.transport, context: self.context, address: self.address, options: self.options,
                tls: self.tls, host: nil, delegate: self)
            connection.userData = UInt64(index)
            self.followers[index].connection = connection
        }
    }

    // MARK: Commands

    private func command(_ words: [Substring]) {
        let number = words.count > 1 ? Int(words[1]) ?? 0 : 0
        switch words.first {
        case "state": self.tellState()
        case "odd": self.tellOdd(words.count > 1 ? String(words[1]) : "")
        case "pause":
            for index in self.followers.indices.prefix(number) { self.setPaused(index, true) }
        case "resume":
            for index in self.followers.indices { self.setPaused(index, false) }
        case "cut": self.cut(number)
        case "churn": self.churn = number
        case "quit": self.loop.stop()
        default: complain("follow: unknown command")
        }
    }

    private func setPaused(_ index: Int, _ isPaused: Bool) {
        guard self.followers[index].isPaused != isPaused else { return }
        self.followers[index].isPaused = isPaused
        guard let connection = self.followers[index].connection, self.followers[index].stream != 0 else { return }
        let stream = self.followers[index].stream
        if isPaused { connection.pause(stream) } else { connection.resume(stream) }
    }

    private func cut(_ number: Int) {
        for _ in 0..<min(number, self.followers.count) {
            self.nextCut = (self.nextCut + 1) % self.followers.count
            self.followers[self.nextCut].connection?.close("cut")
            self.cuts += 1
        }
    }

    private func tellState() {
        var states: [UInt64: Int] = [:]
        for follower in self.followers { states[follower.state.digest, default: 0] += 1 }
        let commonest = states.sorted { ($0.value, $0.key) > ($1.value, $1.key) }.prefix(8)
        let list = commonest.map { "[\"\(String($0.key, radix: 16))\", \($0.value)]" }.joined(separator: ", ")
        let sorted = self.connectTimes.sorted()
        func quantile(_ part: Double) -> String {
            guard !sorted.isEmpty else { return "null" }
            return milliseconds(Nanoseconds(rawValue: sorted[min(sorted.count - 1, Int(Double(sorted.count) * part))]))
        }
        report(
            "state",
            [
                ("states", "[\(list)]"), ("distinct", String(states.count)),
                ("open", String(self.followers.count { $0.stream != 0 })), ("messages", String(self.messages)),
                ("undecodable", String(self.undecodable)),
                ("emptied", String(self.followers.reduce(0) { $0 + $1.state.emptied })),
                ("connected", String(sorted.count)), ("connect_p50_ms", quantile(0.5)),
                ("connect_max_ms", quantile(1)), ("refused", String(self.refused)),
                ("timed_out", String(self.timedOut)), ("lost", String(self.lost)), ("cut", String(self.cuts)),
                ("streams_ended", String(self.streamsEnded)),
            ])
    }

    private func tellOdd(_ digest: String) {
        let odd = self.followers.firstIndex { String($0.state.digest, radix: 16) != digest }
        guard let odd else { return report("odd", [("index", "null")]) }
        let state = self.followers[odd].state
        var types: [String] = []
        for (type, held) in zip(FollowedState.types, state.held) {
            let names = held.sorted { $0.key < $1.key }
                .map { "\"\($0.key)\": \"\(String($0.value.hash, radix: 16))\"" }
            types.append("\"\(type.label)\": {\(names.joined(separator: ", "))}")
        }
        report(
            "odd",
            [
                ("index", String(odd)), ("variant", "\"\(state.variant.rawValue)\""),
                ("open", self.followers[odd].stream != 0 ? "true" : "false"),
                ("held", "{\(types.joined(separator: ", "))}"),
            ])
    }

    // MARK: ClientConnectionDelegate

    func connected(_ connection: ClientConnection) {
        let index = Int(connection.userData)
        self.followers[index].isUp = true
        self.connectTimes.append((Loop.monotonicNow() - self.followers[index].startedAt).rawValue)
        self.openStream(connection)
    }

    func openableChanged(_ connection: ClientConnection) { self.openStream(connection) }

    private func openStream(_ connection: ClientConnection) {
        let index = Int(connection.userData)
        guard self.followers[index].stream == 0, connection.openable > 0 else { return }
        let variant = self.followers[index].state.variant
        let service: DiscoveryService? = DiscoveryService.all.first { $0.type == nil && $0.variant == variant }
        let call = CallHead(
            path: service?.path ?? "", authority: "weir", scheme: self.tls == nil ? "http" : "https",
            userAgent: "weir-bench")
        guard let stream = connection.open(call) else { return }
        self.followers[index].stream = stream
        for request in self.followers[index].state.firstRequests(node: self.node) {
            try? connection.send(stream, GRPCFrame.body(request))
        }
        if self.followers[index].isPaused { connection.pause(stream) }
    }

    func answered(_ connection: ClientConnection, _ stream: Int32) {}

    func message(_ connection: ClientConnection, _ stream: Int32, _ bytes: Span<UInt8>) {
        let index = Int(connection.userData)
        self.messages += 1
        self.followers[index].backoff.reset()
        do throws(WireError) {
            for request in try self.followers[index].state.receive(bytes) {
                try? connection.send(stream, GRPCFrame.body(request))
            }
        } catch {
            self.undecodable += 1
            complain("follow: a response that cannot be decoded: \(error)")
        }
    }

    func drained(_ connection: ClientConnection, _ stream: Int32) {}

    /// As Envoy does: a stream that ends is opened again, here together with its connection.
    func streamEnded(_ connection: ClientConnection, _ stream: Int32, _ end: StreamEnd) {
        self.followers[Int(connection.userData)].stream = 0
        self.streamsEnded += 1
        connection.close("its stream has ended")
    }

    func draining(_ connection: ClientConnection, _ goAway: GoAway) { connection.close("GOAWAY") }

    func closed(_ connection: ClientConnection, _ end: ConnectionEnd) {
        let index = Int(connection.userData)
        if self.followers[index].isUp {
            self.lost += 1
        } else if end.reason.contains("not there within") {
            self.timedOut += 1
        } else {
            self.refused += 1
        }
        self.followers[index].isUp = false
        self.followers[index].stream = 0
        self.followers[index].connection = nil
        let wait = self.followers[index].backoff.next(using: &self.generator)
        self.followers[index].retryAt = self.loop.now + wait
    }
}
