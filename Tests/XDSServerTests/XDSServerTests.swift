import Synchronization
import Testing
import WeirBase
import WeirXDS
import XDSClient
import XDSServer

/// What a client was told, for a thread that waits for it.
private final class Told: Sendable {
    private let lines = Mutex<[String]>([])

    func note(_ event: XDSClient.Event) {
        let line: [String]
        switch event {
        case .connected: line = ["connected"]
        case .disconnected(_, let reason): line = ["disconnected: \(reason)"]
        case .rejected(_, _, let reason): line = ["rejected: \(reason)"]
        case .changed(let change):
            line =
                change.updated.map { "+\($0.name)=\(String(decoding: $0.value.dropFirst(2), as: UTF8.self))" }
                + change.removed.map { "-\($0)" } + change.missing.map { "?\($0)" }
        }
        self.lines.withLock { $0 += line }
    }

    var all: [String] { self.lines.withLock { $0 } }

    /// Waits for a line that begins so, and is not among the first `past`.
    func waits(for line: String, past: Int = 0) async throws {
        for _ in 0..<1500 {
            if self.all.dropFirst(past).contains(where: { $0.hasPrefix(line) }) { return }
            try await Task.sleep(for: .milliseconds(10))
        }
        Issue.record("\(line) did not come; there were \(self.all)")
    }
}

private func routes(_ name: String, _ mark: String) -> XDSResource {
    // The name alone, as the whole message: its first field.
    var writer = WireWriter()
    writer.string(1, name)
    writer.string(9, mark)
    return XDSResource(type: .rds, name: name, value: writer.bytes)
}

private func cluster(_ name: String) -> XDSResource {
    var writer = WireWriter()
    writer.string(1, name)
    return XDSResource(type: .cds, name: name, value: writer.bytes)
}

@Suite("A server of snapshots and its clients", .serialized)
struct XDSServerTests {
    private func server(_ change: (inout XDSServer.Configuration) -> Void = { _ in }) throws -> (XDSServer, String) {
        let address = "unix:///tmp/xds-server-\(UInt64.random(in: 0 ... .max)).sock"
        var configuration = XDSServer.Configuration(listeners: [address])
        configuration.adminAddress = nil
        configuration.logLevel = nil
        configuration.workers = 2
        change(&configuration)
        return (try XDSServer(configuration), address)
    }

    private func client(
        _ address: String, _ told: Told, _ variant: ProtocolVariant, id: String = "a", cluster: String = "web",
        validate: (@Sendable (XDSResource) throws(XDSClient.Rejection) -> Void)? = nil
    ) throws -> XDSClient {
        var configuration = XDSClient.Configuration(servers: [address], node: Node(id: id, cluster: cluster))
        configuration.variant = variant
        configuration.maximumBackoff = .milliseconds(100)
        return try XDSClient(configuration, validate: validate) { told.note($0) }
    }

    @Test("each key's clients get its snapshot, and every later one", arguments: ProtocolVariant.allCases)
    func snapshots(_ variant: ProtocolVariant) async throws {
        let (server, address) = try self.server()
        // Before the start as well as after it.
        server.setSnapshot(XDSServer.Snapshot([cluster("a"), cluster("b")]), for: "web")
        try server.start()
        server.setSnapshot(XDSServer.Snapshot([cluster("x")]), for: "api")
        let (web, api) = (Told(), Told())
        let clients = [
            try self.client(address, web, variant), try self.client(address, api, variant, cluster: "api"),
        ]
        for client in clients { client.subscribeToAll(of: .cds) }
        try await web.waits(for: "+b")
        try await api.waits(for: "+x")
        #expect(!web.all.contains { $0.hasPrefix("+x") } && !api.all.contains { $0.hasPrefix("+a") })
        server.setSnapshot(XDSServer.Snapshot([cluster("b"), cluster("c")]), for: "web")
        try await web.waits(for: "+c")
        try await web.waits(for: "-a")
        #expect(web.all.count { $0.hasPrefix("+b") } == 1)
        #expect(server.snapshot(for: "web")?.count == 2)
        #expect(server.snapshot(for: "none") == nil)
        for client in clients { client.close() }
        server.stop(draining: .zero)
    }

    @Test("names are answered one by one, the missing ones too, and what is given up is not sent any more")
    func names() async throws {
        let (server, address) = try self.server()
        try server.start()
        server.setSnapshot(XDSServer.Snapshot([routes("r1", "1"), routes("r2", "1"), routes("r3", "1")]), for: "web")
        let told = Told()
        let client = try self.client(address, told, .delta)
        client.subscribe(to: .rds, names: ["r1", "r2", "nowhere"])
        try await told.waits(for: "+r1")
        try await told.waits(for: "+r2")
        try await told.waits(for: "?nowhere")
        client.unsubscribe(from: .rds, names: ["r2"])
        // Its answer shows that the server has heard of the other, too.
        client.subscribe(to: .rds, names: ["r3"])
        try await told.waits(for: "+r3")
        server.setSnapshot(
            XDSServer.Snapshot([routes("r1", "1"), routes("r3", "1"), routes("nowhere", "1")]), for: "web")
        try await told.waits(for: "+nowhere")
        #expect(!told.all.contains("-r2"))
        client.close()
        server.stop(draining: .zero)
    }

    @Test("a rejection tells the server why, and the last good version stays", arguments: ProtocolVariant.allCases)
    func rejection(_ variant: ProtocolVariant) async throws {
        let heard = Told()
        let (server, address) = try self.server { configuration in
            configuration.onRejection = { rejection in
                heard.note(
                    .rejected(
                        type: rejection.type, version: rejection.version,
                        reason: "\(rejection.nodeID) \(rejection.reason)"))
            }
        }
        try server.start()
        server.setSnapshot(XDSServer.Snapshot([routes("r1", "good")]), for: "web")
        let told = Told()
        let client = try self.client(address, told, variant) { resource throws(XDSClient.Rejection) in
            if String(decoding: resource.value, as: UTF8.self).hasSuffix("bad") {
                throw XDSClient.Rejection("it is bad")
            }
        }
        client.subscribe(to: .rds, names: ["r1"])
        try await told.waits(for: "+r1")
        server.setSnapshot(XDSServer.Snapshot([routes("r1", "bad")]), for: "web")
        try await told.waits(for: "rejected: \"r1\": it is bad")
        try await heard.waits(for: "rejected: a \"r1\": it is bad")
        let before = told.all.count
        server.setSnapshot(XDSServer.Snapshot([routes("r1", "better")]), for: "web")
        try await told.waits(for: "+r1", past: before)
        #expect(!told.all.contains("-r1"))
        client.close()
        server.stop(draining: .zero)
    }

    @Test("the key function decides, and what it throws is told to the client")
    func keys() async throws {
        let (server, address) = try self.server { configuration in
            configuration.key = { client throws(XDSServer.Refusal) in
                guard client.node.id.hasPrefix("proxy-") else { throw XDSServer.Refusal("ids begin with proxy-") }
                return "all"
            }
        }
        try server.start()
        server.setSnapshot(XDSServer.Snapshot([cluster("a")]), for: "all")
        let (good, bad) = (Told(), Told())
        let one = try self.client(address, good, .delta, id: "proxy-1")
        let other = try self.client(address, bad, .delta, id: "other")
        one.subscribeToAll(of: .cds)
        other.subscribeToAll(of: .cds)
        try await good.waits(for: "+a")
        for _ in 0..<1500 where !bad.all.contains(where: { $0.contains("ids begin with proxy-") }) {
            try await Task.sleep(for: .milliseconds(10))
        }
        #expect(bad.all.contains { $0.contains("ids begin with proxy-") })
        one.close()
        other.close()
        server.stop(draining: .zero)
    }

    @Test("a client of a server that is stopped is disconnected, keeps what it has, and comes back to another one")
    func restart() async throws {
        let (first, address) = try self.server()
        try first.start()
        first.setSnapshot(XDSServer.Snapshot([cluster("a"), cluster("b")]), for: "web")
        let told = Told()
        let client = try self.client(address, told, .delta)
        client.subscribeToAll(of: .cds)
        try await told.waits(for: "+b")
        first.stop(draining: .zero)
        first.stop()
        try await told.waits(for: "disconnected")
        #expect(!told.all.contains("-a"))
        var configuration = XDSServer.Configuration(listeners: [address])
        configuration.adminAddress = nil
        configuration.logLevel = nil
        let second = try XDSServer(configuration)
        second.setSnapshot(XDSServer.Snapshot([cluster("b"), cluster("c")]), for: "web")
        try second.start()
        try await told.waits(for: "+c")
        try await told.waits(for: "-a")
        #expect(told.all.count { $0.hasPrefix("+b") } == 1)
        client.close()
        second.stop(draining: .zero)
    }

    @Test("what cannot be used is refused with the field's name, and a server starts once")
    func configuration() throws {
        func failure(_ change: (inout XDSServer.Configuration) -> Void) -> String {
            var configuration = XDSServer.Configuration(listeners: ["127.0.0.1:18000"])
            change(&configuration)
            do throws(XDSServerError) {
                _ = try XDSServer(configuration)
                return ""
            } catch {
                return error.description
            }
        }
        #expect(failure { $0.listeners = [] }.hasPrefix("listeners"))
        #expect(failure { $0.listeners = [.init(address: "example.com:80")] }.contains("numeric"))
        #expect(failure { $0.adminAddress = "9901" }.hasPrefix("adminAddress"))
        #expect(failure { $0.coldTimeout = .seconds(-1) }.hasPrefix("coldTimeout"))
        #expect(failure { $0.workers = 65 }.contains("workers"))
        let (server, _) = try self.server()
        try server.start()
        #expect(throws: XDSServerError.self) { try server.start() }
        server.stop(draining: .zero)
        #expect(throws: XDSServerError.self) { try server.start() }
    }

    @Test("an address that is taken is an error of the start, with the address in it")
    func taken() throws {
        var configuration = XDSServer.Configuration(listeners: ["unix:///nowhere/at/all.sock"])
        configuration.adminAddress = nil
        configuration.logLevel = nil
        let server = try XDSServer(configuration)
        do throws(XDSServerError) {
            try server.start()
            Issue.record("it started")
        } catch {
            #expect(error.description.contains("/nowhere/at/all.sock"))
        }
        server.stop()
    }
}
