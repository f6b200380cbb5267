import WeirBase
import WeirConfig
import WeirEngine
import WeirHTTP1
import WeirLoop
import WeirObserve
import WeirProtobuf
import WeirXDS

/// The debug HTTP endpoint: reads what the threads show, asks the workers for the rest, and renders on a thread of its
/// own. GET only looks; what changes something is POST.
final class AdminServer: Sendable {
    let shared: RelayShared
    let descriptors: DescriptorSet?
    private var renderer: AdminThread { self.shared.renderer }
    private let listener: HTTPListener
    private let access: AdminAccess

    init(shared: RelayShared, descriptors: DescriptorSet?) {
        self.shared = shared
        self.descriptors = descriptors
        self.access = AdminAccess(shared.configuration.admin)
        self.listener = HTTPListener(
            "admin", shared.configuration.admin.address, HTTPServerOptions(), shared.certificates)
    }

    /// Whether that only this machine can ask is all that keeps others from asking.
    private var isLocal: Bool { self.shared.configuration.admin.address.isLoopback && !self.access.wantsToken }

    func start() throws(StartError) {
        try self.listener.start(self.shared.configuration.admin.tls) { [weak self] in self?.handle($0, $1) }
    }

    /// Takes over the tokens' file, and the TLS files' content.
    func reload(_ configuration: AdminConfiguration) {
        self.access.set(configuration)
        do throws(StartError) {
            try self.listener.reload(configuration.tls) { [weak self] in self?.handle($0, $1) }
        } catch {
            self.shared.logger.log(.error, "admin.tls not reloaded", [("error", error.description)])
        }
    }

    func stop() {
        self.listener.stop()
        self.renderer.stop()
    }

    // MARK: Routing

    private func handle(_ request: HTTPRequest, _ responder: HTTPResponder) {
        let answer = AdminAnswer(request: request, responder: responder)
        if let why = Self.refusal(of: request, isLocal: self.isLocal) { return self.refuse(answer, as: why) }
        if let file = Self.pageFile(request.path), ["GET", "HEAD"].contains(request.method) {
            return self.page(answer, file)
        }
        guard case .known(let caller) = self.access.caller(of: request) else { return self.refuse(answer) }
        let method = request.method == "HEAD" ? "GET" : request.method
        if method != "GET" { self.audit(request, caller) }
        guard let route = AdminRoute.all.first(where: { $0.method == method && $0.path == request.path }) else {
            return self.notFound(answer)
        }
        if let fault = route.fault(in: request.query) { return answer.error(400, fault) }
        do throws(AdminFault) {
            try self.serve(method, answer, caller)
        } catch {
            answer.error(error.status, error.message)
        }
    }

    private func serve(_ method: String, _ answer: AdminAnswer, _ caller: String) throws(AdminFault) {
        switch (method, answer.request.path) {
        case ("GET", "/ready"): self.ready(answer)
        case ("GET", "/live"): self.live(answer)
        case ("GET", "/server_info"): self.serverInfo(answer)
        case ("GET", "/upstreams"): self.upstreams(answer)
        case ("GET", "/keys"): self.keys(answer)
        case ("GET", "/clients"): try self.clients(answer)
        case ("GET", "/config_dump"): self.configDump(answer)
        case ("GET", "/metrics"), ("GET", "/stats/prometheus"): self.metrics(answer)
        case ("GET", "/explain"): try self.explain(answer)
        case ("GET", "/debug/syncz"): try self.syncz(answer)
        case ("GET", "/debug/config_dump"): try self.proxyConfigDump(answer)
        case ("GET", "/memory"): self.memory(answer)
        case ("GET", "/logging"): self.logging(answer)
        case ("GET", "/overview"): self.overview(answer)
        case ("GET", "/activity"): self.activity(answer)
        case ("GET", "/history"): self.history(answer)
        case ("GET", "/diff"): self.diff(answer)
        case ("GET", "/events"): self.events(answer)
        case ("GET", "/checks"): self.checks(answer)
        case ("POST", "/checks/drift"): self.checkDrift(answer)
        case ("GET", "/openapi.json"): answer.respond(200, "application/json", OpenAPI.document)
        case ("POST", "/logging"): self.setLogging(answer)
        case ("POST", "/drain"): self.drain(answer)
        case ("POST", "/keys/hold"), ("POST", "/keys/release"), ("POST", "/keys/rollback"), ("POST", "/keys/refresh"),
            ("POST", "/keys/evict"):
            self.command(answer, caller)
        default: self.notFound(answer)
        }
    }

    private func noteRefusal(_ request: HTTPRequest, _ reason: String) {
        self.shared.logger.logOften(
            .warning, "debug endpoint: refused", linesMax: 10,
            [("method", request.method), ("path", request.path), ("peer", request.peer), ("reason", reason)])
    }

    private func refuse(_ answer: AdminAnswer, as reason: String) {
        self.noteRefusal(answer.request, reason)
        answer.error(403, reason)
    }

    private func refuse(_ answer: AdminAnswer) {
        self.noteRefusal(answer.request, "no token that is known")
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

    private func notFound(_ answer: AdminAnswer) {
        let path = answer.request.path
        let methods = AdminRoute.all.filter { $0.path == path }.map(\.method)
        guard !methods.isEmpty else {
            let hint = nearestName(to: path, among: AdminRoute.all.map(\.path)).map { "; did you mean \($0)?" } ?? ""
            return answer.error(404, "there is no path \(path) here\(hint)")
        }
        let allowed = methods.flatMap { $0 == "GET" ? ["GET", "HEAD"] : [$0] }.joined(separator: ", ")
        answer.error(405, "\(path) takes \(allowed), not \(answer.request.method)", headers: [("Allow", allowed)])
    }
}
