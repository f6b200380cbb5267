import WeirBase
import WeirConfig
import WeirEngine
import WeirHTTP1
import WeirLoop
import WeirProtobuf
import WeirXDS

/// The debug HTTP endpoint: reads what the threads show, asks the workers for the rest, and renders on a thread of its
/// own. GET only looks; what changes something is POST.
final class AdminServer: Sendable {
    let shared: RelayShared
    let descriptors: DescriptorSet?
    private var renderer: AdminThread { self.shared.renderer }
    private let server: Locked<HTTPServer?> = Locked(nil)

    init(shared: RelayShared, descriptors: DescriptorSet?) {
        self.shared = shared
        self.descriptors = descriptors
    }

    func start() throws(StartError) {
        do throws(HTTPServerError) {
            let server = try HTTPServer(address: self.shared.configuration.admin.address.description) {
                [weak self] request, responder in
                self?.handle(request, responder)
            }
            self.server.withLock { $0 = server }
        } catch {
            throw StartError("admin.address: \(error)")
        }
    }

    func stop() {
        let server = self.server.withLock { $0.take() }
        server?.stop()
        self.renderer.stop()
    }

    // MARK: Routing

    private func handle(_ request: HTTPRequest, _ responder: HTTPResponder) {
        let answer = AdminAnswer(request: request, responder: responder)
        switch (request.method, request.path) {
        case ("GET", "/"), ("HEAD", "/"): answer.html(AdminPage.html)
        case ("GET", "/ready"), ("HEAD", "/ready"): self.ready(answer)
        case ("GET", "/live"), ("HEAD", "/live"): self.live(answer)
        case ("GET", "/server_info"), ("HEAD", "/server_info"): self.serverInfo(answer)
        case ("GET", "/upstreams"), ("HEAD", "/upstreams"): self.upstreams(answer)
        case ("GET", "/keys"), ("HEAD", "/keys"): self.keys(answer)
        case ("GET", "/clients"), ("HEAD", "/clients"): self.clients(answer)
        case ("GET", "/config_dump"), ("HEAD", "/config_dump"): self.configDump(answer)
        case ("GET", "/metrics"), ("HEAD", "/metrics"), ("GET", "/stats/prometheus"), ("HEAD", "/stats/prometheus"):
            self.metrics(answer)
        case ("GET", "/explain"), ("HEAD", "/explain"): self.explain(answer)
        case ("GET", "/logging"), ("HEAD", "/logging"): self.logging(answer)
        case ("POST", "/logging"): self.setLogging(answer)
        case ("POST", "/drain"): self.drain(answer)
        case ("POST", "/keys/hold"), ("POST", "/keys/release"), ("POST", "/keys/rollback"), ("POST", "/keys/refresh"),
            ("POST", "/keys/evict"):
            self.command(answer)
        default: self.notFound(answer)
        }
    }

    private static let readable = [
        "/", "/ready", "/live", "/server_info", "/upstreams", "/keys", "/clients", "/config_dump", "/explain",
        "/metrics",
        "/stats/prometheus", "/logging",
    ]
    private static let writable = [
        "/logging", "/drain", "/keys/hold", "/keys/release", "/keys/rollback", "/keys/refresh", "/keys/evict",
    ]

    private func notFound(_ answer: AdminAnswer) {
        let path = answer.request.path
        let isReadable = Self.readable.contains(path)
        let isWritable = Self.writable.contains(path)
        guard isReadable || isWritable else {
            let hint = nearestName(to: path, among: Self.readable + Self.writable).map { "; did you mean \($0)?" } ?? ""
            return answer.error(404, "there is no path \(path) here\(hint)")
        }
        let allowed = (isReadable ? ["GET", "HEAD"] : []) + (isWritable ? ["POST"] : [])
        answer.error(
            405, "\(path) takes \(allowed.joined(separator: ", ")), not \(answer.request.method)",
            headers: [("Allow", allowed.joined(separator: ", "))])
    }

    // MARK: Asking the workers

    /// Runs `part` on every worker and `render` with all parts on the renderer's thread.
    func collect<Part: Sendable>(
        _ part: @escaping @Sendable (Worker, @escaping @Sendable (Part) -> Void) -> Void,
        render: @escaping @Sendable ([Part]) -> Void
    ) {
        let renderer = self.renderer
        let collector = Collector<Part>(count: self.shared.links.count) { parts in
            renderer.run { render(parts) }
        }
        for link in self.shared.links {
            let index = link.index
            link.post(.perform { worker in part(worker) { collector.deliver(index, $0) } })
        }
    }
}

/// The thread on which answers become text.
final class AdminThread: Sendable {
    private enum Job: Sendable {
        case run(@Sendable () -> Void)
        case stop
    }

    /// Answers that may wait; each belongs to an open HTTP connection, of which there are fewer.
    private let mailbox = Mailbox<Job>(capacity: 4096)
    private let thread: Locked<WorkerThread?> = Locked(nil)

    init() {
        let mailbox = self.mailbox
        let thread = WorkerThread(name: "weir-admin", stackSize: 8 << 20) {
            let loop = Loop()
            let inbox = Inbox(loop: loop, mailbox: mailbox) { jobs in
                for job in jobs {
                    switch job {
                    case .run(let body): body()
                    case .stop: loop.stop()
                    }
                }
            }
            loop.run()
            inbox.cancel()
        }
        self.thread.withLock { $0 = thread }
    }

    func run(_ body: @escaping @Sendable () -> Void) { self.mailbox.post(.run(body)) }

    func stop() {
        self.mailbox.post(.stop)
        self.thread.withLock { $0 }?.join()
    }
}
