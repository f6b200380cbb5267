import Glibc
import WeirBase
import WeirHTTP2
import WeirLoop
import WeirTLS
import WeirTransport
import WeirXDS

/// Thousands of ADS streams from one thread, that subscribe to everything, acknowledge, and take the time.
///
/// Reports `synced` when every stream has everything. Then, on standard input: `expect` waits until every stream has
/// received one change and reports `received`; `collect` gathers whatever comes until `report`; `reconnect` closes all
/// connections and opens them anew with what they hold, reporting `reconnected` when all are there; `quit`.
///
/// With `--subset N` a stream subscribes to N endpoints only, and to no clusters; the next stream to the N after these.
final class LoadClient: ClientConnectionDelegate {
    private struct Stream {
        var resources = 0
        var isSynced = false
        var isStalled = false
    }

    private let loop = Loop()
    private let transport: Transport
    private let address: SocketAddress
    private let variant: ProtocolVariant
    private let connectionCount: Int
    private let streamsPerConnection: Int
    private let clusterCount: Int
    private var ramp: Int
    private let stalledPercent: Int
    private let tls: TLSContext?
    private let options: ClientOptions
    private let context: SessionContext
    private let call: CallHead

    private var connections: [ClientConnection] = []
    private var streams: ContiguousArray<Stream> = []
    private var opened = 0
    private var synced = 0
    private var stalled = 0
    private var ended = 0
    private var bytes = 0
    private var messages = 0
    private var startedAt = Instant(rawValue: 0)
    private var latencies: ContiguousArray<Int64> = []
    private var isExpecting = false
    private var timer: TimerWatcher?
    private var input: CommandInput?

    private var firstClusters: SharedBody
    private var firstEndpoints: SharedBody
    private let requests: Requests
    private let subset: Int
    /// What a stream holds, by type: all hold the same.
    private var held: [String: [String: String]] = [:]
    private var isReconnecting = false
    private let ackClusters: [UInt8]
    private let ackEndpoints: [UInt8]

    init(_ options: Options) throws {
        self.address = try SocketAddress(parsing: try options.text("connect"))
        let variant: ProtocolVariant = try options.text("variant", "delta") == "sotw" ? .sotw : .delta
        self.variant = variant
        self.connectionCount = try options.number("connections")
        self.streamsPerConnection = try options.number("streams", 1)
        self.clusterCount = try options.number("clusters", 100)
        self.ramp = max(100, try options.number("ramp", 2000))
        self.stalledPercent = try options.number("stalled", 0)
        self.tls = try options.clientTLS()
        self.transport = Transport(loop: self.loop, seed: 2) { complain("load: \($0.text)") }
        var clientOptions = ClientOptions()
        // A client that gives up would only hide how long it took.
        clientOptions.connectTimeout = .seconds(120)
        self.options = clientOptions
        self.context = ClientConnection.makeContext(clientOptions)
        let service: DiscoveryService? = DiscoveryService.all.first { $0.type == nil && $0.variant == variant }
        self.call = CallHead(
            path: service?.path ?? "", authority: "weir", scheme: self.tls == nil ? "http" : "https",
            userAgent: "weir-bench")
        self.subset = try options.number("subset", 0)
        let names = (0..<self.clusterCount).map(BenchResources.name)
        let requests = Requests(variant: variant, names: names)
        self.requests = requests
        self.firstClusters = GRPCFrame.body(requests.firstClusters)
        self.firstEndpoints = GRPCFrame.body(requests.firstEndpoints)
        self.ackClusters = requests.ackClusters
        self.ackEndpoints = requests.ackEndpoints
    }

    func run() {
        self.startedAt = Loop.monotonicNow()
        self.input = CommandInput(self.loop) { [unowned self] words in self.command(words) }
        let timer = TimerWatcher(loop: self.loop) { [unowned self] in self.openSome() }
        self.timer = timer
        timer.start(after: .zero, every: .milliseconds(10))
        self.loop.run()
    }

    private func openSome() {
        for _ in 0..<max(1, self.ramp / 100) {
            guard self.connections.count < self.connectionCount else {
                self.timer?.cancel()
                return
            }
            self.connections.append(
                ClientConnection(
                    transport: self.transport, context: self.context, address: self.address, options: self.options,
                    tls: self.tls, host: nil, delegate: self))
        }
    }

    private func command(_ words: [Substring]) {
        switch words.first {
        case "expect", "collect":
            self.latencies.removeAll(keepingCapacity: true)
            self.isExpecting = words.first == "expect"
            self.bytes = 0
            self.messages = 0
            report("ready", [])
        case "report": self.tell()
        case "reconnect": self.reconnect(words.count > 1 ? Int(words[1]) ?? 100 : 100)
        case "quit": self.loop.stop()
        default: complain("load: unknown command")
        }
    }

    private func tell() {
        let sorted = self.latencies.sorted()
        func quantile(_ part: Double) -> String {
            guard !sorted.isEmpty else { return "null" }
            let index = min(sorted.count - 1, Int(Double(sorted.count) * part))
            return milliseconds(Nanoseconds(rawValue: sorted[index]))
        }
        report(
            "received",
            [
                ("count", String(sorted.count)), ("p50_ms", quantile(0.5)), ("p99_ms", quantile(0.99)),
                ("max_ms", quantile(1)), ("bytes", String(self.bytes)), ("messages", String(self.messages)),
                ("ended", String(self.ended)),
            ])
    }

    // MARK: ClientConnectionDelegate

    func connected(_ connection: ClientConnection) { self.openStreams(connection) }
    func openableChanged(_ connection: ClientConnection) { self.openStreams(connection) }

    private func openStreams(_ connection: ClientConnection) {
        while Int(connection.userData) < self.streamsPerConnection, connection.openable > 0 {
            guard let stream = connection.open(self.call) else { return }
            connection.userData += 1
            let index = self.streams.count
            var record = Stream()
            record.isStalled = index % 100 < self.stalledPercent
            if record.isStalled { self.stalled += 1 }
            self.streams.append(record)
            connection.setUserData(stream, UInt64(index))
            self.opened += 1
            if self.opened == self.connectionCount * self.streamsPerConnection {
                report("opened", [("seconds", milliseconds(Loop.monotonicNow() - self.startedAt))])
            }
            if self.opened == self.connectionCount * self.streamsPerConnection, self.isReconnecting {
                report("reconnected", [("seconds", milliseconds(Loop.monotonicNow() - self.startedAt))])
            }
            guard self.subset == 0 else {
                let names = (0..<self.subset).map {
                    BenchResources.name((index * self.subset + $0) % self.clusterCount)
                }
                try? connection.send(stream, GRPCFrame.body(self.requests.endpoints(names)))
                continue
            }
            try? connection.send(stream, self.firstClusters)
            try? connection.send(stream, self.firstEndpoints)
        }
    }

    /// All connections end, and come again at `perSecond`, saying what they hold (delta).
    private func reconnect(_ perSecond: Int) {
        self.firstClusters = GRPCFrame.body(self.requests.resuming(.cds, self.held[XDSType.cds.typeURL] ?? [:]))
        self.firstEndpoints = GRPCFrame.body(self.requests.resuming(.eds, self.held[XDSType.eds.typeURL] ?? [:]))
        self.isReconnecting = true
        for connection in self.connections { connection.close("reconnecting") }
        self.connections = []
        self.streams = []
        self.opened = 0
        self.bytes = 0
        self.messages = 0
        self.ended = 0
        self.ramp = max(100, perSecond)
        self.startedAt = Loop.monotonicNow()
        let timer = TimerWatcher(loop: self.loop) { [unowned self] in self.openSome() }
        self.timer = timer
        timer.start(after: .milliseconds(50), every: .milliseconds(10))
    }

    private func note(_ response: DeltaDiscoveryResponse, in bytes: borrowing Span<UInt8>) {
        let typeURL = bytes.string(response.typeURL)
        for range in response.resources {
            guard let resource = try? ResourceEnvelope(decoding: range, in: bytes) else { continue }
            self.held[typeURL, default: [:]][bytes.string(resource.name)] = bytes.string(resource.version)
        }
    }

    func answered(_ connection: ClientConnection, _ stream: Int32) {}

    func message(_ connection: ClientConnection, _ stream: Int32, _ bytes: Span<UInt8>) {
        self.bytes += bytes.count
        self.messages += 1
        guard let index = connection.userData(stream).map(Int.init), index < self.streams.count else { return }
        let count: Int
        switch self.variant {
        case .delta:
            guard let response = try? DeltaDiscoveryResponse(decoding: bytes) else { return }
            count = response.resources.count
            if index == 0 { self.note(response, in: bytes) }
            self.acknowledge(connection, stream, bytes, response.typeURL, response.nonce, .empty)
        case .sotw:
            guard let response = try? DiscoveryResponse(decoding: bytes) else { return }
            count = response.resources.count
            self.acknowledge(connection, stream, bytes, response.typeURL, response.nonce, response.versionInfo)
        }
        if self.streams[index].isSynced {
            self.note(bytes)
        } else {
            self.streams[index].resources += count
            let expected = self.subset > 0 ? self.subset : 2 * self.clusterCount
            if self.streams[index].resources >= expected { self.becameSynced(connection, stream, index) }
        }
    }

    private func becameSynced(_ connection: ClientConnection, _ stream: Int32, _ index: Int) {
        self.streams[index].isSynced = true
        self.synced += 1
        if self.streams[index].isStalled { connection.pause(stream) }
        guard self.synced == self.connectionCount * self.streamsPerConnection else { return }
        report(
            "synced",
            [
                ("streams", String(self.synced)), ("seconds", milliseconds(Loop.monotonicNow() - self.startedAt)),
                ("bytes", String(self.bytes)),
            ])
    }

    private func note(_ bytes: borrowing Span<UInt8>) {
        guard let stamp = BenchResources.stamp(in: bytes), stamp > 0 else { return }
        self.latencies.append(Loop.monotonicNow().rawValue - stamp)
        guard self.isExpecting, self.latencies.count >= self.synced - self.stalled else { return }
        self.isExpecting = false
        self.tell()
    }

    private func acknowledge(
        _ connection: ClientConnection, _ stream: Int32, _ bytes: borrowing Span<UInt8>, _ typeURL: ByteRange,
        _ nonce: ByteRange, _ version: ByteRange
    ) {
        let isClusters = typeURL.count == XDSType.cds.typeURL.utf8.count
        var writer = WireWriter()
        // The fields of a message may come in any order: what never changes first.
        writer.bytes = isClusters ? self.ackClusters : self.ackEndpoints
        if self.variant == .sotw { writer.message(1, version, of: bytes) }
        writer.message(self.variant == .sotw ? 5 : 6, nonce, of: bytes)
        try? connection.send(stream, GRPCFrame.body(writer.bytes))
    }

    func drained(_ connection: ClientConnection, _ stream: Int32) {}

    func streamEnded(_ connection: ClientConnection, _ stream: Int32, _ end: StreamEnd) {
        self.ended += 1
        if self.ended <= 3, end.cause != .connectionLost { complain("load: a stream ended: \(end)") }
    }

    func draining(_ connection: ClientConnection, _ goAway: GoAway) {}

    func closed(_ connection: ClientConnection, _ end: ConnectionEnd) {
        if end.cause != .local, self.ended <= 3 { complain("load: a connection ended: \(end.reason)") }
    }
}

/// What the clients say, encoded once.
private struct Requests {
    let firstClusters: [UInt8]
    let firstEndpoints: [UInt8]
    let ackClusters: [UInt8]
    let ackEndpoints: [UInt8]
    private let variant: ProtocolVariant
    private let node: [UInt8]
    private let names: [String]

    /// The first request of a stream that subscribes to these endpoints only.
    func endpoints(_ names: [String]) -> [UInt8] {
        switch self.variant {
        case .delta:
            var request = OutgoingDeltaRequest(typeURL: XDSType.eds.typeURL)
            request.node = self.node
            request.subscribe = names
            return request.encoded
        case .sotw:
            var request = OutgoingRequest(typeURL: XDSType.eds.typeURL)
            request.node = self.node
            request.resourceNames = names
            return request.encoded
        }
    }

    /// The first request of a type, in delta, from a client that holds these versions from before.
    func resuming(_ type: XDSType, _ held: [String: String]) -> [UInt8] {
        var request = OutgoingDeltaRequest(typeURL: type.typeURL)
        request.node = self.node
        if type == .eds { request.subscribe = self.names }
        request.initialVersions = held.sorted { $0.key < $1.key }.map { .init(name: $0.key, version: $0.value) }
        return request.encoded
    }

    init(variant: ProtocolVariant, names: [String]) {
        var node = WireWriter()
        node.string(1, "bench")
        node.string(2, "bench")
        self.variant = variant
        self.node = node.bytes
        self.names = names
        switch variant {
        case .delta:
            var clusters = OutgoingDeltaRequest(typeURL: XDSType.cds.typeURL)
            self.ackClusters = clusters.encoded
            clusters.node = node.bytes
            self.firstClusters = clusters.encoded
            var endpoints = OutgoingDeltaRequest(typeURL: XDSType.eds.typeURL)
            self.ackEndpoints = endpoints.encoded
            endpoints.subscribe = names
            self.firstEndpoints = endpoints.encoded
        case .sotw:
            var clusters = OutgoingRequest(typeURL: XDSType.cds.typeURL)
            self.ackClusters = clusters.encoded
            clusters.node = node.bytes
            self.firstClusters = clusters.encoded
            var endpoints = OutgoingRequest(typeURL: XDSType.eds.typeURL)
            endpoints.resourceNames = names
            self.ackEndpoints = endpoints.encoded
            self.firstEndpoints = endpoints.encoded
        }
    }
}
