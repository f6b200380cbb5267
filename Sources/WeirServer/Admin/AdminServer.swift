import WeirBase
import WeirConfig
import WeirEngine
import WeirHTTP1
import WeirLoop
import WeirObserve
import WeirProtobuf
import WeirTLS
import WeirXDS

/// The debug HTTP endpoint: reads what the threads show, asks the workers for the rest, and renders on a thread of its
/// own. GET only looks; what changes something is POST.
final class AdminServer: Sendable {
    let shared: RelayShared
    let descriptors: DescriptorSet?
    private var renderer: AdminThread { self.shared.renderer }
    private let server: Locked<HTTPServer?> = Locked(nil)
    private let access: AdminAccess
    /// What the running server shows its clients.
    private let tls: Locked<HTTPServerTLS?> = Locked(nil)

    init(shared: RelayShared, descriptors: DescriptorSet?) {
        self.shared = shared
        self.descriptors = descriptors
        self.access = AdminAccess(shared.configuration.admin)
    }

    func start() throws(StartError) {
        let configuration = self.shared.configuration.admin
        try self.start(try configuration.tls.map { files throws(StartError) in try Self.read(files) })
    }

    private func start(_ tls: HTTPServerTLS?) throws(StartError) {
        do throws(HTTPServerError) {
            let address = self.shared.configuration.admin.address.description
            let server = try HTTPServer(address: address, tls: tls) { [weak self] request, responder in
                self?.handle(request, responder)
            }
            self.server.withLock { $0 = server }
            let expiry = tls.flatMap { certificateExpiry(pem: Array($0.chain.utf8)) }
            self.shared.certificates.set(.admin, self.shared.configuration.admin.tls?.certificateChain, expiry)
            self.tls.withLock { $0 = tls }
        } catch {
            throw StartError("admin: \(error)")
        }
    }

    private static func read(_ files: AdminTLSConfiguration) throws(StartError) -> HTTPServerTLS {
        let texts = [files.certificateChain, files.privateKey].map { path in
            ProcessReader.readBytes(path).map { String(decoding: $0, as: UTF8.self) }
        }
        guard let chain = texts[0], let key = texts[1] else {
            throw StartError("admin.tls: cannot read \(files.certificateChain) or \(files.privateKey)")
        }
        return HTTPServerTLS(chain: chain, key: key)
    }

    /// Takes over the tokens' file, and the TLS files' content where that has changed: then the server starts again, on
    /// the address that it has, and its open connections close. Files that are of no use change nothing.
    func reload(_ configuration: AdminConfiguration) {
        self.access.set(configuration)
        guard let old = self.tls.withLock({ $0 }), let files = configuration.tls else { return }
        do throws(StartError) {
            let new = try Self.read(files)
            guard new != old else { return }
            self.server.withLock { $0.take() }?.stop()
            do throws(StartError) {
                try self.start(new)
            } catch {
                try self.start(old)
                throw error
            }
        } catch {
            self.shared.logger.log(.error, "admin.tls not reloaded", [("error", error.description)])
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
        guard case .known(let caller) = self.access.caller(of: request) else { return self.refuse(answer) }
        if !["GET", "HEAD"].contains(request.method) { self.audit(request, caller) }
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
        case ("GET", "/history"), ("HEAD", "/history"): self.history(answer)
        case ("GET", "/diff"), ("HEAD", "/diff"): self.diff(answer)
        case ("GET", "/events"), ("HEAD", "/events"): self.events(answer)
        case ("GET", "/logging"), ("HEAD", "/logging"): self.logging(answer)
        case ("POST", "/logging"): self.setLogging(answer)
        case ("POST", "/drain"): self.drain(answer)
        case ("POST", "/keys/hold"), ("POST", "/keys/release"), ("POST", "/keys/rollback"), ("POST", "/keys/refresh"),
            ("POST", "/keys/evict"):
            self.command(answer, caller)
        default: self.notFound(answer)
        }
    }

    private func refuse(_ answer: AdminAnswer) {
        let request = answer.request
        self.shared.logger.logOften(
            .warning, "debug endpoint: refused", linesMax: 10,
            [("method", request.method), ("path", request.path), ("peer", request.peer)])
        answer.error(
            401, "it takes a token: send \"Authorization: Bearer TOKEN\" with one of admin.token_file",
            headers: [("WWW-Authenticate", "Bearer realm=\"weir\"")])
    }

    /// What changes something is on record: who, what, from where.
    private func audit(_ request: HTTPRequest, _ caller: String) {
        let query = request.query.map { "\($0.name)=\($0.value)" }.joined(separator: "&")
        self.shared.logger.log(
            .warning, "audit",
            [
                ("who", caller), ("method", request.method), ("path", request.path), ("query", query),
                ("peer", request.peer),
            ])
    }

    private static let readable = [
        "/", "/ready", "/live", "/server_info", "/upstreams", "/keys", "/clients", "/config_dump", "/explain",
        "/history", "/diff", "/events", "/metrics",
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
