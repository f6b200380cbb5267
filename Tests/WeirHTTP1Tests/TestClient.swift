import Glibc

@testable import WeirHTTP1

/// One blocking loopback connection; every read gives up after ten seconds.
final class TestClient {
    struct Response {
        var status: Int
        var head: String
        var body: [UInt8]

        var text: String { String(decoding: self.body, as: UTF8.self) }
        func has(_ header: String) -> Bool { self.head.split(separator: "\r\n").contains { $0 == header } }
    }

    struct Closed: Error {}

    private var descriptor: CInt
    private var received: [UInt8] = []

    init(_ port: UInt16) throws {
        self.descriptor = socket(AF_INET, CInt(SOCK_STREAM.rawValue), 0)
        var limit = timeval(tv_sec: 10, tv_usec: 0)
        _ = unsafe setsockopt(
            self.descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        let descriptor = self.descriptor
        let result = unsafe withUnsafeBytes(of: address) { bytes in
            unsafe connect(
                descriptor, bytes.baseAddress?.assumingMemoryBound(to: sockaddr.self), socklen_t(bytes.count))
        }
        guard result == 0 else { throw Closed() }
    }

    deinit { self.hangUp() }

    func hangUp() {
        if self.descriptor >= 0 { _ = close(self.descriptor) }
        self.descriptor = -1
    }

    func send(_ text: String) { self.send(Array(text.utf8)) }

    /// Stops early if the server has closed.
    func send(_ bytes: [UInt8]) {
        var sent = 0
        while sent < bytes.count {
            let count = unsafe bytes[sent...].withUnsafeBytes {
                unsafe Glibc.send(self.descriptor, $0.baseAddress, $0.count, CInt(MSG_NOSIGNAL))
            }
            guard count > 0 else { return }
            sent += count
        }
    }

    /// The next response on the connection.
    func receive(withoutBody: Bool = false) throws -> Response {
        var end = self.headEnd
        while end == nil {
            try self.readMore()
            end = self.headEnd
        }
        guard let end else { throw Closed() }
        let head = String(decoding: self.received[..<end], as: UTF8.self)
        self.received.removeFirst(end + 4)
        let words = head.prefix { $0 != "\r\n" }.split(separator: " ")
        var response = Response(status: words.count > 1 ? Int(words[1]) ?? 0 : 0, head: head, body: [])
        if response.status == 100 { return try self.receive(withoutBody: withoutBody) }
        let lengths = head.lowercased().split(separator: "\r\n").compactMap { line in
            line.hasPrefix("content-length: ") ? Int(line.dropFirst("content-length: ".count)) : nil
        }
        let count = withoutBody ? 0 : lengths.first ?? 0
        while self.received.count < count { try self.readMore() }
        response.body = Array(self.received.prefix(count))
        self.received.removeFirst(count)
        return response
    }

    /// Everything up to and with a text, as it came.
    func receive(until text: String) throws -> String {
        let wanted = Array(text.utf8)
        while true {
            let starts = 0...max(0, self.received.count - wanted.count)
            if let start = starts.first(where: { self.received[$0...].starts(with: wanted) }) {
                let taken = self.received[..<(start + wanted.count)]
                self.received.removeFirst(taken.count)
                return String(decoding: taken, as: UTF8.self)
            }
            try self.readMore()
        }
    }

    /// Whether the server has closed, with nothing more sent.
    func isClosedByServer() -> Bool {
        var byte: UInt8 = 0
        let count = unsafe recv(self.descriptor, &byte, 1, 0)
        let failure = errno
        return self.received.isEmpty && (count == 0 || count < 0 && failure != EAGAIN)
    }

    private var headEnd: Int? {
        self.received.indices.dropLast(3).first { self.received[$0..<$0 + 4].elementsEqual([13, 10, 13, 10]) }
    }

    private func readMore() throws {
        var chunk = [UInt8](repeating: 0, count: 65_536)
        let count = unsafe recv(self.descriptor, &chunk, chunk.count, 0)
        guard count > 0 else { throw Closed() }
        self.received.append(contentsOf: chunk[..<count])
    }
}

/// Passes requests and responders from the server's thread to the test's.
final class HandOver: Sendable {
    private let queue = WitnessedMutex<[(HTTPRequest, HTTPResponder)]>([])
    private let readEnd: CInt
    private let writeEnd: CInt

    init() {
        var ends: [CInt] = [-1, -1]
        _ = unsafe pipe(&ends)
        self.readEnd = ends[0]
        self.writeEnd = ends[1]
    }

    deinit {
        _ = close(self.readEnd)
        _ = close(self.writeEnd)
    }

    func put(_ request: HTTPRequest, _ responder: HTTPResponder) {
        self.queue.withLock { $0.append((request, responder)) }
        var byte: UInt8 = 1
        _ = unsafe write(self.writeEnd, &byte, 1)
    }

    /// Waits for the next one.
    func take() -> (HTTPRequest, HTTPResponder) {
        var byte: UInt8 = 0
        _ = unsafe read(self.readEnd, &byte, 1)
        return self.queue.withLock { $0.removeFirst() }
    }
}

/// A plain thread, joined by hand.
final class TestThread {
    private final class Body {
        let run: @Sendable () -> Void
        init(_ run: @escaping @Sendable () -> Void) { self.run = run }
    }

    private var thread = pthread_t()

    init(_ run: @escaping @Sendable () -> Void) {
        let body = unsafe Unmanaged.passRetained(Body(run)).toOpaque()
        _ = unsafe pthread_create(&self.thread, nil, testThreadStarted, body)
    }

    func join() { _ = pthread_join(self.thread, nil) }

    fileprivate static func start(_ context: UnsafeMutableRawPointer) {
        unsafe Unmanaged<Body>.fromOpaque(context).takeRetainedValue().run()
    }
}

@c(weir_http1_test_thread_started)
func testThreadStarted(_ context: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    if let context = unsafe context { unsafe TestThread.start(context) }
    return nil
}
