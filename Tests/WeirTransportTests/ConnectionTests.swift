import Glibc
import Testing
import WeirBase
import WeirHTTP2
import WeirLoop
import WeirTLS

@testable import WeirTransport

@Suite(.serialized) struct ConnectionTests {
    private func serverTLS(_ allowed: [String] = []) throws -> TLSContext {
        try TLSContext.server(
            TLSServerConfiguration(
                certificateChain: fixture("server.crt"), privateKey: fixture("server.key"), clientCA: fixture("ca.crt"),
                allowedSANs: allowed))
    }

    private func clientTLS(_ name: String = "envoy", ca: String = "ca") throws -> TLSContext {
        try TLSContext.client(
            TLSClientConfiguration(
                ca: fixture("\(ca).crt"), certificateChain: fixture("\(name).crt"), privateKey: fixture("\(name).key"),
                serverName: "cp.example.com"))
    }

    private func echoes(_ stage: Stage, _ client: ClientConnection) throws {
        stage.run { client.isConnected }
        let stream = stage.call(client)
        try client.send(stream, GRPCFrame.body([1, 2, 3]))
        stage.run { stage.clientMessages == [[1, 2, 3]] }
        client.halfClose(stream)
        stage.run { !stage.clientEnds.isEmpty && !stage.serverEnds.isEmpty }
        #expect(stage.clientEnds == [StreamEnd(.finished, .ok, "")])
        #expect(stage.serverEnds == [StreamEnd(.finished, .ok, "")])
        client.close("done")
        stage.run { !stage.clientClosed.isEmpty && !stage.serverConnectionEnds.isEmpty }
        #expect(stage.clientClosed == [ConnectionEnd(cause: .local, reason: "done")])
        #expect(stage.quota.count == 0)
        #expect(stage.listener?.connections.isEmpty == true)
    }

    @Test("a call over TCP") func tcp() throws {
        let stage = Stage()
        defer { stage.finish() }
        try stage.listen()
        try self.echoes(stage, stage.connect())
    }

    @Test("a call over a Unix socket") func unix() throws {
        let path = "/tmp/weir-transport-test-\(getpid()).sock"
        defer { _ = unsafe unlink(path) }
        let stage = Stage()
        defer { stage.finish() }
        try stage.listen("unix://\(path)")
        try self.echoes(stage, stage.connect())
    }

    @Test("a call over mutual TLS; the server knows who calls") func mutualTLS() throws {
        let stage = Stage()
        defer { stage.finish() }
        try stage.listen(tls: self.serverTLS(["spiffe://prod/ns/*/sa/envoy"]))
        let client = try stage.connect(tls: self.clientTLS())
        stage.run { stage.serverOpened == 1 }
        #expect(stage.serverConnections.first?.peerIdentity?.uriSANs == ["spiffe://prod/ns/web/sa/envoy"])
        #expect(stage.serverConnections.first?.isTLS == true)
        try self.echoes(stage, client)
    }

    @Test("large messages pass over plaintext and TLS", arguments: [false, true]) func large(isTLS: Bool) throws {
        let stage = Stage()
        defer { stage.finish() }
        try stage.listen(tls: isTLS ? self.serverTLS() : nil)
        let client = try stage.connect(tls: isTLS ? self.clientTLS() : nil)
        stage.run { client.isConnected }
        let stream = stage.call(client)
        try client.send(stream, GRPCFrame.body([UInt8](repeating: 7, count: 20 << 20)))
        stage.run { stage.clientMessageBytes == 20 << 20 }
        #expect(stage.serverMessages == 1)
    }

    @Test("TLS failures say who, what and why") func tlsFailures() throws {
        let stage = Stage()
        defer { stage.finish() }
        try stage.listen(tls: self.serverTLS())
        let address = try #require(stage.listener?.address)
        let wrongServer = try stage.connect(tls: self.clientTLS(ca: "other-ca"))
        stage.run { stage.clientClosed.count == 1 }
        let text = try #require(stage.clientClosed.first?.reason)
        #expect(text.hasPrefix("TLS handshake with \(address) failed: certificate verify failed: "))
        #expect(stage.clientClosed.first?.cause == .handshakeFailed)
        let stranger = try stage.connect(tls: self.clientTLS("stranger"))
        stage.run { stage.clientClosed.count == 2 }
        let plain = try stage.connect()
        stage.run { stage.clientClosed.count == 3 && stage.log.count == 3 }
        #expect(
            stage.log.allSatisfy { $0.kind == .handshakeFailed && $0.text.hasPrefix("TLS handshake with 127.0.0.1:") })
        #expect(stage.log.last?.text.hasSuffix("what the peer sends is not TLS (is it plaintext?)") == true)
        #expect(stage.serverOpened == 0 && stage.quota.count == 0)
        withExtendedLifetime((wrongServer, stranger, plain)) {}
    }

    @Test("a refused connect is told, once and later") func refused() throws {
        let stage = Stage()
        defer { stage.finish() }
        try stage.listen()
        let address = try #require(stage.listener?.address)
        stage.listener?.stop()
        _ = try stage.connect()
        #expect(stage.clientClosed.isEmpty)
        stage.run { !stage.clientClosed.isEmpty }
        #expect(
            stage.clientClosed == [
                ConnectionEnd(cause: .connectFailed, reason: "connect to \(address): Connection refused")
            ])
    }

    @Test("WIRE-11 2,000 streams on one connection are answered, and each end is told once when it breaks")
    func manyStreams() throws {
        let stage = Stage()
        defer { stage.finish() }
        try stage.listen()
        let client = try stage.connect()
        stage.run { client.isConnected }
        #expect(client.openable == 5000)
        for index in 0..<2000 {
            let stream = stage.call(client)
            try client.send(stream, GRPCFrame.body([UInt8(index & 255)]))
        }
        stage.run { stage.clientMessages.count == 2000 }
        #expect(stage.serverStreamsOpened == 2000)
        client.close("break")
        stage.run { stage.serverConnectionEnds.count == 1 && stage.clientClosed.count == 1 }
        #expect(stage.serverStreamsClosed.count == 2000 && stage.serverStreamsClosed.values.allSatisfy { $0 == 1 })
        #expect(stage.clientEnds.count == 2000)
        #expect(stage.clientEnds.allSatisfy { $0.cause == .connectionLost && $0.status == .unavailable })
    }

    @Test("WIRE-08 however a stream ends, its end is told once", arguments: 0..<6) func ends(way: Int) throws {
        let stage = Stage()
        defer { stage.finish() }
        try stage.listen()
        let client = try stage.connect()
        stage.run { client.isConnected }
        let streams = (0..<20).map { _ in stage.call(client) }
        for stream in streams { try client.send(stream, GRPCFrame.body([1])) }
        stage.run { stage.clientMessages.count == 20 }
        let server = try #require(stage.serverConnections.first)
        switch way {
        case 0: for stream in streams { client.halfClose(stream) }
        case 1: for stream in streams { client.cancel(stream) }
        case 2: for stream in streams { server.finish(stream, .unavailable, "x") }
        case 3: for stream in streams { server.reset(stream, .internalError) }
        case 4: client.close("way 4")
        default: server.close("way 5")
        }
        stage.run { stage.serverEnds.count == 20 && stage.clientEnds.count == 20 }
        client.close("end")
        stage.run { stage.serverConnectionEnds.count == 1 && stage.clientClosed.count == 1 }
        #expect(stage.serverStreamsClosed.count == 20 && stage.serverStreamsClosed.values.allSatisfy { $0 == 1 })
        #expect(stage.clientEnds.count == 20)
    }

    @Test("a delegate may close the connection from within a message") func closeInside() throws {
        let stage = Stage()
        defer { stage.finish() }
        try stage.listen()
        stage.onServerMessage = { connection, _, _ in connection.close("enough") }
        let client = try stage.connect()
        stage.run { client.isConnected }
        let stream = stage.call(client)
        for _ in 0..<3 { try client.send(stream, GRPCFrame.body([1])) }
        stage.run { !stage.clientClosed.isEmpty && !stage.serverConnectionEnds.isEmpty }
        #expect(stage.serverMessages == 1)
        #expect(stage.serverEnds.count == 1)
        #expect(stage.serverConnectionEnds == [ConnectionEnd(cause: .local, reason: "enough")])
    }

    @Test("WIRE-12 the age of a connection: GOAWAY first, then streams end UNAVAILABLE, then it closes")
    func age() throws {
        let stage = Stage()
        defer { stage.finish() }
        var options = ServerOptions()
        options.connectionAgeMax = .milliseconds(50)
        options.connectionAgeGrace = .milliseconds(100)
        try stage.listen(options: options)
        let client = try stage.connect()
        stage.run { client.isConnected }
        let stream = stage.call(client)
        try client.send(stream, GRPCFrame.body([1]))
        stage.run { client.isDraining }
        #expect(stage.clientEnds.isEmpty)
        #expect(client.openable == 0)
        stage.run { stage.clientClosed.count == 1 && stage.serverConnectionEnds.count == 1 }
        #expect(stage.clientEnds == [StreamEnd(.finished, .unavailable, "max_age")])
        #expect(stage.goAways.map(\.lastStream) == [Int32.max, 1])
        #expect(stage.serverEnds.count == 1)
    }

    @Test("WIRE-13 a peer that falls silent is found by keepalive, on either side", arguments: [true, false])
    func keepalive(isServer: Bool) throws {
        let stage = Stage()
        defer { stage.finish() }
        var server = ServerOptions()
        var client = ClientOptions()
        if isServer {
            server.keepaliveInterval = .milliseconds(50)
            server.keepaliveTimeout = .milliseconds(50)
        } else {
            client.keepaliveInterval = .milliseconds(50)
            client.keepaliveTimeout = .milliseconds(50)
        }
        try stage.listen(options: server)
        let connection = try stage.connect(options: client)
        stage.run { connection.isConnected && stage.serverOpened == 1 }
        let stream = stage.call(connection)
        try connection.send(stream, GRPCFrame.body([1]))
        // Several intervals: while both sides answer, nothing happens.
        let until = stage.loop.now + .milliseconds(300)
        stage.run { stage.loop.now > until }
        #expect(stage.clientClosed.isEmpty && stage.serverConnectionEnds.isEmpty)
        if isServer {
            connection.stopListening()
            stage.run { !stage.serverConnectionEnds.isEmpty }
            #expect(stage.serverConnectionEnds.first?.cause == .keepaliveFailed)
            #expect(stage.serverEnds.count == 1)
        } else {
            stage.serverConnections.first?.pauseReading()
            stage.run { !stage.clientClosed.isEmpty }
            #expect(stage.clientClosed.first?.cause == .keepaliveFailed)
            #expect(stage.clientEnds.map(\.status) == [.unavailable])
        }
    }

    @Test("a slow reader costs a bounded output; others go on; what is queued arrives when it reads")
    func slowReader() throws {
        let stage = Stage()
        defer { stage.finish() }
        try stage.listen()
        stage.onServerMessage = { _, _, _ in }
        let slow = try stage.connect()
        let quick = try stage.connect()
        stage.run { slow.isConnected && quick.isConnected }
        let slowStream = stage.call(slow)
        try slow.send(slowStream, GRPCFrame.body([1]))
        stage.run { stage.serverMessages == 1 }
        slow.stopListening()
        let body = GRPCFrame.body([UInt8](repeating: 1, count: 2 << 20))
        let server = try #require(stage.serverConnections.first { $0.streamCount == 1 })
        for _ in 0..<50 { try server.send(slowStream, body) }
        stage.onServerMessage = nil
        stage.onServerMessage = { connection, stream, bytes in try? connection.send(stream, GRPCFrame.body(bytes)) }
        let quickStream = stage.call(quick)
        try quick.send(quickStream, GRPCFrame.body([9]))
        stage.run { stage.clientMessages == [[9]] }
        #expect(server.pendingMessages(slowStream) > 30)
        let listener = try #require(stage.listener)
        let waiting = { (0..<WaitingConnections.parts).flatMap { Array(listener.waitingConnections.waiting(in: $0)) } }
        #expect(waiting().count == 1 && waiting().first === server)
        slow.listenAgain()
        stage.run { stage.clientMessageBytes == 1 + 50 * (2 << 20) }
        #expect(waiting().isEmpty && listener.waitingConnections.count == 0)
    }

    @Test("connections beyond the rate wait for their turn, or are refused at once where that would come too late")
    func admission() throws {
        let stage = Stage()
        defer { stage.finish() }
        try stage.listen(tls: self.serverTLS())
        var limits = ConnectionAdmission.Limits()
        limits.handshakesPerSecond = 10
        limits.waitMax = .milliseconds(350)
        stage.quota.admission.set(limits)
        for _ in 0..<8 { _ = try stage.connect(tls: self.clientTLS()) }
        stage.run { stage.serverOpened + stage.clientClosed.count == 8 }
        // One at once, three within the time that they may wait; the clock goes on while the others come.
        #expect(stage.serverOpened >= 4 && !stage.clientClosed.isEmpty)
        #expect(stage.log.filter { $0.kind == .connectionDelayed }.count == stage.serverOpened - 1)
        #expect(stage.log.filter { $0.kind == .connectionRateExceeded }.count == stage.clientClosed.count)
        #expect(stage.quota.count == stage.serverOpened)
        stage.quota.admission.sheds = true
        let opened = stage.serverOpened
        _ = try stage.connect(tls: self.clientTLS())
        stage.run { stage.log.contains { $0.kind == .connectionShed } }
        #expect(stage.serverOpened == opened)
    }

    @Test("a turn is not spent on a client that has left: who is next takes it") func admissionAfterLeaving() throws {
        let stage = Stage()
        defer { stage.finish() }
        try stage.listen()
        var limits = ConnectionAdmission.Limits()
        limits.connectionsPerSecond = 1
        limits.waitMax = .seconds(60)
        stage.quota.admission.set(limits)
        let impatient = try (0..<3).map { _ in try stage.connect() }
        stage.run { stage.serverOpened == 1 && stage.quota.count == 3 }
        let patient = try stage.connect()
        stage.run { stage.quota.count == 4 }
        // Its turn would be three seconds from the first.
        for client in impatient where !client.isConnected { client.close("it waits too long") }
        let start = Loop.monotonicNow()
        stage.run { patient.isConnected }
        #expect(Loop.monotonicNow() - start < .milliseconds(2500))
        #expect(stage.log.filter { $0.kind == .connectionRateExceeded }.count == 2)
        #expect(stage.quota.count == 2)
    }

    @Test("a listener that stops closes those who wait for their turn") func stopWithWaiting() throws {
        let stage = Stage()
        defer { stage.finish() }
        try stage.listen()
        var limits = ConnectionAdmission.Limits()
        limits.connectionsPerSecond = 1
        limits.waitMax = .seconds(60)
        stage.quota.admission.set(limits)
        for _ in 0..<4 { _ = try stage.connect() }
        stage.run { stage.serverOpened == 1 && stage.quota.count == 4 }
        stage.listener?.stop()
        stage.run { stage.clientClosed.count == 3 }
        #expect(stage.quota.count == 1)
    }

    @Test("a client that floods the connection with PINGs loses it") func noise() throws {
        let stage = Stage()
        defer { stage.finish() }
        var options = ServerOptions()
        // The client's SETTINGS are the one that is allowed.
        options.limits.noiseBurst = 1
        options.limits.noisePerSecond = 1
        options.keepaliveInterval = .zero
        try stage.listen(options: options)
        var eager = ClientOptions()
        eager.keepaliveInterval = .milliseconds(1)
        let client = try stage.connect(options: eager)
        stage.run { client.isConnected }
        stage.run { !stage.serverConnectionEnds.isEmpty }
        #expect(stage.serverConnectionEnds.first?.cause == .protocolViolated)
        stage.run { !stage.goAways.isEmpty }
        #expect(stage.goAways.last?.code == .enhanceYourCalm)
    }

    @Test("connections over the quota are refused, and counted") func quota() throws {
        let stage = Stage()
        defer { stage.finish() }
        try stage.listen()
        var clients: [ClientConnection] = []
        for _ in 0..<12 { clients.append(try stage.connect()) }
        stage.run { stage.clientConnected == 10 && stage.clientClosed.count == 2 }
        #expect(stage.quota.refused == 2)
        #expect(stage.log.map(\.kind) == [.connectionRefused, .connectionRefused])
        for client in clients { client.close("end") }
        stage.run { stage.quota.count == 0 }
    }

    @Test("a peer that speaks no HTTP/2, or nothing at all, is closed with a reason") func garbage() throws {
        let stage = Stage()
        defer { stage.finish() }
        var options = ServerOptions()
        options.handshakeTimeout = .milliseconds(50)
        try stage.listen(options: options)
        let address = try #require(stage.listener?.address)
        let silent = try Socket.connect(to: address)
        stage.run { stage.log.count == 1 }
        #expect(stage.log[0].text.hasPrefix("no HTTP/2 preface from 127.0.0.1:"))
        let noisy = try Socket.connect(to: address)
        stage.run { stage.quota.count == 1 }
        let text = Array("GET / HTTP/1.1\r\nHost: x\r\n\r\n".utf8)
        #expect(try Socket.write(noisy, text.span) == .bytes(text.count))
        stage.run { stage.log.count == 2 }
        #expect(stage.log[1].text.contains("does not speak HTTP/2"))
        Socket.close(silent)
        Socket.close(noisy)
        #expect(stage.quota.count == 0)
    }

    @Test("a server that accepts and stays silent is given up at the connect timeout") func connectTimeout() throws {
        let stage = Stage()
        defer { stage.finish() }
        let listening = try Socket.listen(on: SocketAddress(parsing: "127.0.0.1:0"), reusePort: false, backlog: 5)
        defer { Socket.close(listening) }
        var options = ClientOptions()
        options.connectTimeout = .milliseconds(50)
        let address = try #require(Socket.localAddress(listening))
        _ = try stage.connect(options: options, address: address)
        stage.run { !stage.clientClosed.isEmpty }
        #expect(stage.clientClosed.first?.reason == "HTTP/2 SETTINGS from \(address): not there within 0.05 s")
    }

    @Test("WIRE-07 a client's grpc-timeout ends its call") func timeout() throws {
        let stage = Stage()
        defer { stage.finish() }
        try stage.listen()
        let client = try stage.connect()
        stage.run { client.isConnected }
        var call = CallHead(path: "/a.B/C", authority: "x", scheme: "http", userAgent: "t")
        call.metadata = [("grpc-timeout", "50m")]
        _ = client.open(call)
        let other = stage.call(client)
        stage.run { !stage.clientEnds.isEmpty }
        #expect(stage.clientEnds.map(\.status) == [.deadlineExceeded])
        #expect(client.userData(other) != nil)
    }

    @Test("a drain that was asked for ends with the last stream") func drain() throws {
        let stage = Stage()
        defer { stage.finish() }
        try stage.listen()
        let client = try stage.connect()
        stage.run { client.isConnected }
        let stream = stage.call(client)
        try client.send(stream, GRPCFrame.body([1]))
        stage.run { stage.clientMessages.count == 1 }
        stage.serverConnections.first?.goAwayGraceful(grace: .seconds(60), reason: "draining")
        stage.run { stage.goAways.count == 2 }
        try client.send(stream, GRPCFrame.body([2]))
        stage.run { stage.clientMessages.count == 2 }
        client.halfClose(stream)
        stage.run { stage.clientClosed.count == 1 && stage.serverConnectionEnds.count == 1 }
        #expect(stage.clientEnds == [StreamEnd(.finished, .ok, "")])
    }

    @Test("a paused connection reads nothing until it resumes") func pauseReading() throws {
        let stage = Stage()
        defer { stage.finish() }
        try stage.listen()
        let client = try stage.connect()
        stage.run { client.isConnected }
        let stream = stage.call(client)
        try client.send(stream, GRPCFrame.body([1]))
        stage.run { stage.clientMessages.count == 1 }
        let server = try #require(stage.serverConnections.first)
        server.pauseReading()
        try client.send(stream, GRPCFrame.body([2]))
        let until = stage.loop.now + .milliseconds(50)
        stage.run { stage.loop.now > until }
        #expect(stage.serverMessages == 1)
        server.resumeReading()
        stage.run { stage.clientMessages.count == 2 }
    }

    @Test("what is sent in one turn leaves in one turn, and certificates are replaced for new connections")
    func replacedTLS() throws {
        let stage = Stage()
        defer { stage.finish() }
        try stage.listen()
        let first = try stage.connect()
        stage.run { first.isConnected }
        stage.listener?.tls = try self.serverTLS()
        let second = try stage.connect(tls: self.clientTLS())
        stage.run { second.isConnected }
        let stream = stage.call(first)
        try first.send(stream, GRPCFrame.body([1]))
        stage.run { stage.clientMessages.count == 1 }
    }
}

extension ClientConnection {
    /// A peer that does not read: as if the process hung.
    func stopListening() { self.link?.pauseReading() }
    func listenAgain() { self.link?.resumeReading() }
}
