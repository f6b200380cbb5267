import Glibc
import Testing
import WeirBase

@testable import WeirLoop

@Suite("Sockets")
struct SocketTests {
    @Test("bytes go there and back", arguments: ["127.0.0.1:0", "[::1]:0", "unix"])
    func echo(kind: String) throws {
        let folder = TemporaryFolder()
        let address = try SocketAddress(parsing: kind == "unix" ? "unix://\(folder.path)/s" : kind)
        let loop = Loop()
        let server = try EchoServer(loop, address)
        let message = (0..<300_000).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        let client = try EchoClient(loop, server.address, message) { [unowned loop] in loop.stop() }
        runBounded(loop)
        #expect(client.received == message)
        #expect(client.sawEnd)
        #expect(server.peers.count == 1)
        if case .v4 = address { #expect(server.peers.first?.host == "127.0.0.1") }
    }

    @Test("a port in use is refused with its address; with the port shared it is not")
    func inUse() throws {
        let any = try SocketAddress(parsing: "127.0.0.1:0")
        let first = Descriptor(try Socket.listen(on: any, reusePort: false, backlog: 1))
        let taken = try #require(Socket.localAddress(first.rawValue))
        let error = #expect(throws: SystemError.self) {
            try Socket.listen(on: taken, reusePort: false, backlog: 1)
        }
        #expect(error?.code == EADDRINUSE)
        #expect(error?.subject == taken.description)
        let shared = Descriptor(try Socket.listen(on: any, reusePort: true, backlog: 1))
        let sharedAddress = try #require(Socket.localAddress(shared.rawValue))
        _ = Descriptor(try Socket.listen(on: sharedAddress, reusePort: true, backlog: 1))
    }

    @Test("a Unix socket left by a dead process is taken over, a live one and a plain file are not")
    func staleUnixSocket() throws {
        let folder = TemporaryFolder()
        let address = try SocketAddress(parsing: "unix://\(folder.path)/s")
        Socket.close(try Socket.listen(on: address, reusePort: false, backlog: 1))
        let live = Descriptor(try Socket.listen(on: address, reusePort: false, backlog: 1))
        #expect(throws: SystemError(code: EADDRINUSE, operation: "listen on", subject: address.description)) {
            try Socket.listen(on: address, reusePort: false, backlog: 1)
        }
        _ = live.rawValue
        folder.write("plain", "x")
        #expect(throws: SystemError.self) {
            try Socket.listen(on: .unix(path: "\(folder.path)/plain"), reusePort: false, backlog: 1)
        }
    }

    @Test("a refused connection is told by its error")
    func refused() throws {
        let listener = try Socket.listen(on: SocketAddress(parsing: "127.0.0.1:0"), reusePort: false, backlog: 1)
        let address = try #require(Socket.localAddress(listener))
        Socket.close(listener)
        let loop = Loop()
        let socket = Descriptor(try Socket.connect(to: address))
        var error: SystemError?
        let watcher = IOWatcher(loop: loop, descriptor: socket.rawValue) { [unowned loop] _ in
            error = Socket.connectionError(socket.rawValue)
            loop.stop()
        }
        watcher.interest = .write
        runBounded(loop)
        #expect(error?.code == ECONNREFUSED)
    }

    @Test("a write to a closed peer is an error, not the end of the process")
    func brokenPipe() throws {
        let (near, far) = try pair()
        Socket.close(far)
        let error = #expect(throws: SystemError.self) {
            _ = try Socket.write(near, ([1, 2, 3] as [UInt8]).span)
        }
        #expect(error?.isDisconnect == true)
        Socket.close(near)
    }

    @Test("a queue of many pieces arrives whole and in order, whatever the kernel takes at a time")
    func writeQueue() throws {
        let (near, far) = try pair()
        let loop = Loop()
        let shared = (0..<70_000).map { UInt8(truncatingIfNeeded: $0 % 251) }
        var queue = WriteQueue()
        var expected: [UInt8] = []
        for index in 0..<400 {
            queue.append([UInt8(truncatingIfNeeded: index)])
            queue.append(shared, offset: index, count: index * 97 % 5_000)
            expected.append(UInt8(truncatingIfNeeded: index))
            expected += shared[index..<index + index * 97 % 5_000]
        }
        #expect(queue.byteCount == expected.count)
        var received: [UInt8] = []
        var blocked = 0
        let writer = IOWatcher(loop: loop, descriptor: near) { _ in
            if (try? queue.flush(to: near, budget: 100_000)) == .blocked { blocked += 1 }
            if queue.isEmpty { Socket.shutdownWrite(near) }
        }
        writer.interest = .write
        let reader = IOWatcher(loop: loop, descriptor: far) { [unowned loop] _ in
            if case .closed? = try? readAll(far, into: &received, limit: 10_000) { loop.stop() }
            if queue.isEmpty { writer.interest = [] }
        }
        reader.interest = .read
        runBounded(loop)
        reader.cancel()
        writer.cancel()
        #expect(received == expected)
        #expect(blocked > 0)
        Socket.close(near)
        Socket.close(far)
    }

    @Test("a watcher cancelled or released in its own callback is not called again")
    func cancelledInCallback() throws {
        let (near, far) = try pair()
        let loop = Loop()
        var cancelled: IOWatcher?
        var released: IOWatcher?
        let calls = Counter()
        cancelled = IOWatcher(loop: loop, descriptor: near) { _ in
            cancelled?.cancel()
            cancelled?.interest = .write
            calls.value += 1
        }
        released = IOWatcher(loop: loop, descriptor: far) { _ in
            released = nil
            calls.value += 100
        }
        cancelled?.interest = .write
        released?.interest = .write
        let end = TimerWatcher(loop: loop) { [unowned loop] in loop.stop() }
        end.start(after: .milliseconds(20))
        runBounded(loop)
        #expect(calls.value == 101)
        #expect(cancelled?.interest == [])
        #expect(released == nil)
        cancelled = nil
        Socket.close(near)
        Socket.close(far)
    }

    @Test("a watcher cancelled by another one of the same turn is not called")
    func cancelledByOther() throws {
        let (near, far) = try pair()
        let loop = Loop()
        var watchers: [IOWatcher] = []
        var calls = 0
        for descriptor in [near, far] {
            let watcher = IOWatcher(loop: loop, descriptor: descriptor) { [unowned loop] _ in
                calls += 1
                watchers.removeAll()
                loop.stop()
            }
            watcher.interest = .write
            watchers.append(watcher)
        }
        runBounded(loop)
        #expect(calls == 1)
        Socket.close(near)
        Socket.close(far)
    }
}

/// Two connected sockets.
private func pair() throws -> (CInt, CInt) {
    var pair: [CInt] = [-1, -1]
    let type = CInt(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue)
    try #require(unsafe socketpair(AF_UNIX, type, 0, &pair) == 0)
    var small: CInt = 16 << 10  // so that a large write does not fit
    _ = unsafe setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &small, socklen_t(MemoryLayout<CInt>.size))
    return (pair[0], pair[1])
}

private func readAll(_ descriptor: CInt, into received: inout [UInt8], limit: Int) throws(SystemError) -> ReadResult {
    let buffer = ReadBuffer(capacity: limit)
    let result = try buffer.read(from: descriptor)
    buffer.withBytes { bytes in received += bytes.array(ByteRange(offset: 0, count: bytes.count)) }
    return result
}

/// Sends back what comes, and ends when the client ends.
private final class EchoServer {
    let address: SocketAddress
    private(set) var peers: [SocketAddress] = []
    private var acceptor: IOWatcher?
    private var connection: IOWatcher?
    private let listener: Descriptor
    private var queue = WriteQueue()
    private var inputEnded = false

    init(_ loop: Loop, _ address: SocketAddress) throws {
        let listener = Descriptor(try Socket.listen(on: address, reusePort: false, backlog: 8))
        self.listener = listener
        self.address = try #require(Socket.localAddress(listener.rawValue))
        self.acceptor = IOWatcher(loop: loop, descriptor: listener.rawValue) { [unowned self, unowned loop] _ in
            while let accepted = try? Socket.accept(self.listener.rawValue) {
                self.peers.append(accepted.peer)
                self.serve(loop, Descriptor(accepted.descriptor))
            }
        }
        self.acceptor?.interest = .read
    }

    private func serve(_ loop: Loop, _ socket: Descriptor) {
        self.connection = IOWatcher(loop: loop, descriptor: socket.rawValue) { [unowned self] ready in
            var received: [UInt8] = []
            if ready.contains(.read), (try? readAll(socket.rawValue, into: &received, limit: 4096)) == .closed {
                self.inputEnded = true
            }
            self.queue.append(received)
            let result = try? self.queue.flush(to: socket.rawValue)
            if self.inputEnded, result == .drained { Socket.shutdownWrite(socket.rawValue) }
            self.connection?.interest =
                (self.inputEnded ? [] : Readiness.read).union(self.queue.isEmpty ? [] : .write)
        }
        self.connection?.interest = .read
    }
}

private final class EchoClient {
    private(set) var received: [UInt8] = []
    private(set) var sawEnd = false
    private var queue = WriteQueue()
    private let socket: Descriptor
    private var watcher: IOWatcher?

    init(_ loop: Loop, _ address: SocketAddress, _ message: [UInt8], onEnd: @escaping () -> Void) throws {
        let socket = Descriptor(try Socket.connect(to: address))
        self.socket = socket
        Socket.setNoDelay(socket.rawValue)
        self.queue.append(message)
        self.watcher = IOWatcher(loop: loop, descriptor: socket.rawValue) { [unowned self] ready in
            if ready.contains(.write), (try? self.queue.flush(to: socket.rawValue)) == .drained {
                Socket.shutdownWrite(socket.rawValue)
                self.watcher?.interest = .read
            }
            if ready.contains(.read), (try? readAll(socket.rawValue, into: &self.received, limit: 65536)) == .closed {
                self.sawEnd = true
                self.watcher?.cancel()
                onEnd()
            }
        }
        self.watcher?.interest = [.read, .write]
    }
}
