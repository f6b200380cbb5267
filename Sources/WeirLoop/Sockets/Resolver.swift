import CEv
import Glibc
import Synchronization

/// What became of a host name.
package enum ResolveResult: Hashable, Sendable {
    /// At least one address, in the order of preference of the system's resolver (RFC 6724).
    case addresses([SocketAddress])
    /// Why there is none, for people.
    case failed(String)
}

/// The answer to one request, as it travels through the mailbox of the loop that asked.
package struct ResolveReply: Hashable, Sendable {
    /// The number that the asker gave.
    package let id: UInt64
    package let result: ResolveResult
}

/// Looks up host names on a thread of its own, because getaddrinfo blocks. One per process; loops ask through a
/// `ResolverClient`. Names are looked up one after another.
package final class Resolver: Sendable {
    /// The most look-ups that can wait; one more fails at once.
    package static let requestsMax = 1024

    private let requests: Mailbox<ResolveRequest>
    private let stopping: StopFlag

    /// Starts the thread `weir-resolver`. It ends after the last reference is gone, once a running look-up returns.
    package init() {
        let requests = Mailbox<ResolveRequest>(capacity: Self.requestsMax)
        let stopping = StopFlag()
        self.requests = requests
        self.stopping = stopping
        _ = WorkerThread(name: "weir-resolver") { Self.serve(requests, until: stopping) }
    }

    deinit {
        self.stopping.set()
        self.requests.post(.stop)  // refused if the box is full: then the thread is awake, and sees the flag
    }

    /// Asks for the addresses of `host`; the reply comes to `replyTo`. May be called from any thread.
    ///
    /// - Returns: false if too many requests wait; then no reply comes.
    package func resolve(host: String, port: UInt16, id: UInt64, replyTo: Mailbox<ResolveReply>) -> Bool {
        self.requests.post(.resolve(host: host, port: port, id: id, replyTo: replyTo))
    }

    private static func serve(_ requests: Mailbox<ResolveRequest>, until stopping: StopFlag) {
        let loop = Loop()
        let inbox = Inbox(loop: loop, mailbox: requests) { [unowned loop] batch in
            for request in batch where !stopping.isSet {
                if case .resolve(let host, let port, let id, let replyTo) = request {
                    replyTo.post(ResolveReply(id: id, result: self.lookUp(host: host, port: port)))
                }
            }
            if stopping.isSet { loop.stop() }
        }
        withExtendedLifetime(inbox) { loop.run() }
    }

    /// Blocks. An IPv4 and an IPv6 address of the same machine are both in the answer.
    static func lookUp(host: String, port: UInt16) -> ResolveResult {
        var hints = unsafe addrinfo()
        unsafe hints.ai_family = AF_UNSPEC
        unsafe hints.ai_socktype = CInt(SOCK_STREAM.rawValue)
        unsafe hints.ai_flags = AI_NUMERICSERV
        var list: UnsafeMutablePointer<addrinfo>?
        let code = unsafe getaddrinfo(host, String(port), &hints, &list)
        guard code == 0 else {
            let reason = code == EAI_SYSTEM ? SystemError.text(errno) : unsafe String(cString: gai_strerror(code))
            return .failed("cannot resolve \"\(host)\": \(reason)")
        }
        defer { unsafe freeaddrinfo(list) }
        var addresses: [SocketAddress] = []
        var next = unsafe list
        while let entry = unsafe next {
            let raw = unsafe UnsafeRawBufferPointer(start: entry.pointee.ai_addr, count: Int(entry.pointee.ai_addrlen))
            if let address = unsafe SocketAddress(bytes: raw, length: raw.count), !addresses.contains(address) {
                addresses.append(address)
            }
            unsafe next = entry.pointee.ai_next
        }
        return addresses.isEmpty ? .failed("cannot resolve \"\(host)\": it has no address") : .addresses(addresses)
    }
}

private enum ResolveRequest: Sendable {
    case resolve(host: String, port: UInt16, id: UInt64, replyTo: Mailbox<ResolveReply>)
    case stop
}

private final class StopFlag: Sendable {
    private let value = Atomic<Bool>(false)
    var isSet: Bool { self.value.load(ordering: .relaxed) }
    func set() { self.value.store(true, ordering: .relaxed) }
}
