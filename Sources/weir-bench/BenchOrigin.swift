import Glibc
import WeirBase
import WeirHTTP2
import WeirLoop
import WeirTransport
import WeirXDS

/// A control plane just good enough to feed weir: CDS as wildcard, EDS by name, SotW or delta ADS, one state for all.
///
/// Commands on standard input: `change N` gives cluster N new endpoints; `burst RATE COUNT` does so RATE times a second,
/// round robin; `quit`.
final class BenchOrigin: ServerConnectionDelegate {
    private struct Client {
        let connection: ServerConnection
        let stream: Int32
        let isDelta: Bool
        var wantsClusters = false
        var names: Set<Int> = []
        var nonce = 0
    }

    private let loop = Loop()
    private let transport: Transport
    private var listener: ServerListener?
    private var clients: [UInt64: Client] = [:]
    private var lastClient: UInt64 = 0
    private var clusters: [[UInt8]] = []
    private var endpoints: [[UInt8]] = []
    private var versions: [Int]
    private let endpointCount: Int
    private var version = 1
    private var input: CommandInput?
    private var burst: TimerWatcher?
    private var burstLeft = 0
    private var burstNext = 0

    init(_ options: Options) throws {
        let count = try options.number("clusters", 100)
        self.endpointCount = try options.number("endpoints", 10)
        let padding = try options.number("padding", 200)
        self.transport = Transport(loop: self.loop, seed: 1) { complain("origin: \($0.text)") }
        self.versions = Array(repeating: 1, count: count)
        for index in 0..<count {
            self.clusters.append(BenchResources.any(.cds, BenchResources.cluster(index, padding: padding)))
            self.endpoints.append(self.encodedEndpoints(index, stamp: 0))
        }
        let address = try SocketAddress(parsing: try options.text("listen"))
        self.listener = try ServerListener(
            transport: self.transport, address: address, options: ServerOptions(), tls: nil,
            quota: ConnectionQuota(connectionsMax: 1000), delegate: self)
    }

    func run() {
        self.input = CommandInput(self.loop) { [unowned self] words in self.command(words) }
        report("listening", [])
        self.loop.run()
    }

    private func encodedEndpoints(_ index: Int, stamp: Int64) -> [UInt8] {
        BenchResources.any(.eds, BenchResources.endpoints(index, count: self.endpointCount, stamp: stamp))
    }

    private func command(_ words: [Substring]) {
        switch words.first {
        case "change":
            let index = words.count > 1 ? Int(words[1]) ?? 0 : 0
            self.change(index % max(1, self.endpoints.count))
        case "burst":
            let rate = words.count > 1 ? Int(words[1]) ?? 1 : 1
            self.burstLeft = words.count > 2 ? Int(words[2]) ?? 1 : 1
            self.burst = TimerWatcher(loop: self.loop) { [unowned self] in self.burstTick() }
            let interval = Nanoseconds(rawValue: 1_000_000_000 / Int64(max(1, rate)))
            self.burst?.start(after: .zero, every: interval)
        case "quit": self.loop.stop()
        default: complain("origin: unknown command")
        }
    }

    private func burstTick() {
        guard self.burstLeft > 0 else {
            self.burst?.cancel()
            return report("burst_over", [])
        }
        self.burstLeft -= 1
        self.change(self.burstNext)
        self.burstNext = (self.burstNext + 1) % self.endpoints.count
    }

    private func change(_ index: Int) {
        let now = Loop.monotonicNow().rawValue
        self.version += 1
        self.versions[index] = self.version
        self.endpoints[index] = self.encodedEndpoints(index, stamp: now)
        for (id, client) in self.clients where client.names.contains(index) { self.send(id, .eds, [index]) }
        report("changed", [("stamp", String(now)), ("bytes", String(self.endpoints[index].count))])
    }

    private func send(_ id: UInt64, _ type: XDSType, _ indexes: [Int]) {
        guard var client = self.clients[id] else { return }
        client.nonce += 1
        self.clients[id] = client
        var writer = WireWriter()
        writer.string(1, String(self.version))
        for index in indexes {
            let any = type == .cds ? self.clusters[index] : self.endpoints[index]
            guard client.isDelta else {
                writer.message(2, any)
                continue
            }
            var resource = WireWriter()
            resource.string(1, String(type == .cds ? 1 : self.versions[index]))
            resource.message(2, any)
            resource.string(3, BenchResources.name(index))
            writer.message(2, resource.bytes)
        }
        writer.string(4, type.typeURL)
        writer.string(5, String(client.nonce))
        try? client.connection.send(client.stream, GRPCFrame.body(writer.bytes))
    }

    // MARK: ServerConnectionDelegate

    func connectionOpened(_ connection: ServerConnection) {}

    func streamOpened(_ connection: ServerConnection, _ stream: Int32, _ request: RequestHead) {
        guard let service = DiscoveryService.at(path: request.path) else {
            return connection.finish(stream, .unimplemented)
        }
        self.lastClient += 1
        self.clients[self.lastClient] = Client(
            connection: connection, stream: stream, isDelta: service.variant == .delta)
        connection.setUserData(stream, self.lastClient)
        connection.respond(stream)
    }

    func message(_ connection: ServerConnection, _ stream: Int32, _ userData: UInt64, _ bytes: Span<UInt8>) {
        let id = userData
        guard let client = self.clients[id] else { return }
        var names: [Int] = []
        let typeURL: String
        if client.isDelta {
            guard let request = try? DeltaDiscoveryRequest(decoding: bytes) else { return }
            typeURL = bytes.string(request.typeURL)
            names = request.subscribe.compactMap { Self.index(bytes.string($0)) }
        } else {
            guard let request = try? DiscoveryRequest(decoding: bytes) else { return }
            typeURL = bytes.string(request.typeURL)
            names = request.resourceNames.compactMap { Self.index(bytes.string($0)) }
        }
        if typeURL == XDSType.cds.typeURL {
            if client.wantsClusters { return }
            self.clients[id]?.wantsClusters = true
            self.send(id, .cds, Array(self.clusters.indices))
        } else {
            let new = Set(names).subtracting(client.names).filter { self.endpoints.indices.contains($0) }
            guard !new.isEmpty else { return }
            self.clients[id]?.names.formUnion(new)
            self.send(id, .eds, new.sorted())
        }
    }

    private static func index(_ name: String) -> Int? { Int(name.dropFirst()) }

    func streamHalfClosed(_ connection: ServerConnection, _ stream: Int32) { connection.finish(stream, .ok) }

    func streamClosed(_ connection: ServerConnection, _ stream: Int32, _ end: StreamEnd) {
        if let id = connection.userData(stream) { self.clients[id] = nil }
    }

    func drained(_ connection: ServerConnection, _ stream: Int32, _ userData: UInt64) {}
    func connectionClosed(_ connection: ServerConnection, _ end: ConnectionEnd) {}
}
