import Testing
import WeirBase
import WeirHTTP2
import WeirLoop
import WeirTLS

@testable import WeirTransport

/// An echo server and its clients on one loop. Runs until a condition holds; after twenty seconds the test fails
/// instead of hanging.
final class Stage: ServerConnectionDelegate, ClientConnectionDelegate {
    let loop = Loop()
    let transport: Transport
    let quota = ConnectionQuota(connectionsMax: 10)
    var listener: ServerListener?
    var log: [TransportEvent] = []

    // Server side
    var serverConnections: [ServerConnection] = []
    var serverOpened = 0
    var serverStreamsOpened = 0
    var serverEnds: [StreamEnd] = []
    var serverStreamsClosed: [String: Int] = [:]
    var serverConnectionEnds: [ConnectionEnd] = []
    var serverMessages = 0
    var onServerMessage: ((ServerConnection, Int32, [UInt8]) -> Void)?
    var onStreamOpened: ((ServerConnection, Int32, RequestHead) -> Void)?

    // Client side
    private var clients: [ClientConnection] = []
    var clientConnected = 0
    var clientMessages: [[UInt8]] = []
    var clientMessageBytes = 0
    var clientEnds: [StreamEnd] = []
    var clientClosed: [ConnectionEnd] = []
    var goAways: [GoAway] = []

    private var condition: () -> Bool = { true }
    private var check: TimerWatcher?

    init() {
        var sink: (TransportEvent) -> Void = { _ in }
        self.transport = Transport(loop: self.loop, seed: 1) { sink($0) }
        sink = { [unowned self] in self.log.append($0) }
    }

    deinit { self.loop.beforeSleep = nil }

    func listen(
        _ address: String = "127.0.0.1:0", options: ServerOptions = ServerOptions(), tls: TLSContext? = nil
    ) throws {
        self.listener = try ServerListener(
            transport: self.transport, address: SocketAddress(parsing: address), options: options, tls: tls,
            quota: self.quota, delegate: self)
    }

    func connect(
        options: ClientOptions = ClientOptions(), tls: TLSContext? = nil, host: String? = nil,
        address: SocketAddress? = nil
    ) throws -> ClientConnection {
        let target = try address ?? #require(self.listener?.address)
        let client = ClientConnection(
            transport: self.transport, context: ClientConnection.makeContext(options), address: target,
            options: options, tls: tls, host: host, delegate: self)
        self.clients.append(client)
        return client
    }

    func run(until condition: @escaping () -> Bool, sourceLocation: SourceLocation = #_sourceLocation) {
        var timedOut = false
        let watchdog = TimerWatcher(loop: self.loop) { [unowned self] in
            timedOut = true
            self.loop.stop()
        }
        let check = TimerWatcher(loop: self.loop) { [unowned self] in if condition() { self.loop.stop() } }
        watchdog.start(after: .seconds(20))
        check.start(after: .zero, every: .milliseconds(1))
        self.loop.run()
        watchdog.cancel()
        check.cancel()
        #expect(!timedOut, "the condition did not come true; log: \(self.log)", sourceLocation: sourceLocation)
    }

    /// Closes what is open, which would keep itself alive.
    func finish() {
        self.listener?.stop()
        for connection in self.serverConnections { connection.close("the test is over") }
        for connection in self.clients { connection.close("the test is over") }
        self.clients.removeAll()
        self.loop.runSoon { [loop] in loop.runSoon { loop.stop() } }
        self.loop.run()
    }

    func call(_ connection: ClientConnection) -> Int32 {
        connection.open(CallHead(path: "/a.B/C", authority: "cp", scheme: "http", userAgent: "test")) ?? -1
    }

    // MARK: Server

    func connectionOpened(_ connection: ServerConnection) {
        self.serverOpened += 1
        self.serverConnections.append(connection)
    }

    func streamOpened(_ connection: ServerConnection, _ stream: Int32, _ request: RequestHead) {
        self.serverStreamsOpened += 1
        if let onStreamOpened { return onStreamOpened(connection, stream, request) }
        connection.setUserData(stream, UInt64(stream) + 1000)
        connection.respond(stream)
    }

    func message(_ connection: ServerConnection, _ stream: Int32, _ userData: UInt64, _ bytes: Span<UInt8>) {
        self.serverMessages += 1
        let message = bytes.array(ByteRange(offset: 0, count: bytes.count))
        if let onServerMessage { return onServerMessage(connection, stream, message) }
        #expect(connection.userData(stream) == UInt64(stream) + 1000)
        try? connection.send(stream, GRPCFrame.body(message))
    }

    func streamHalfClosed(_ connection: ServerConnection, _ stream: Int32) { connection.finish(stream, .ok) }

    func streamClosed(_ connection: ServerConnection, _ stream: Int32, _ end: StreamEnd) {
        self.serverEnds.append(end)
        self.serverStreamsClosed["\(ObjectIdentifier(connection))/\(stream)", default: 0] += 1
    }

    func drained(_ connection: ServerConnection, _ stream: Int32, _ userData: UInt64) {}

    func connectionClosed(_ connection: ServerConnection, _ end: ConnectionEnd) {
        self.serverConnectionEnds.append(end)
        self.serverConnections.removeAll { $0 === connection }
    }

    // MARK: Client

    func connected(_ connection: ClientConnection) { self.clientConnected += 1 }
    func openableChanged(_ connection: ClientConnection) {}
    func answered(_ connection: ClientConnection, _ stream: Int32) {}

    func message(_ connection: ClientConnection, _ stream: Int32, _ bytes: Span<UInt8>) {
        self.clientMessageBytes += bytes.count
        if bytes.count < 1000 { self.clientMessages.append(bytes.array(ByteRange(offset: 0, count: bytes.count))) }
    }

    func drained(_ connection: ClientConnection, _ stream: Int32) {}
    func streamEnded(_ connection: ClientConnection, _ stream: Int32, _ end: StreamEnd) { self.clientEnds.append(end) }
    func draining(_ connection: ClientConnection, _ goAway: GoAway) { self.goAways.append(goAway) }
    func closed(_ connection: ClientConnection, _ end: ConnectionEnd) { self.clientClosed.append(end) }
}

/// The path of a test certificate.
func fixture(_ name: String) -> String {
    let here = #filePath.split(separator: "/").dropLast(2).joined(separator: "/")
    return "/\(here)/Fixtures/TLS/\(name)"
}
