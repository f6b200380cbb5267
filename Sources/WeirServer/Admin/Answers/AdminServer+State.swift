import Glibc
import WeirBase
import WeirConfig
import WeirLoop
import WeirObserve
import WeirUpstream
import WeirXDS

/// What can be answered without asking a worker, so that it is answered also when one is stuck.
extension AdminServer {
    /// Serving or not; what is missing upstream, and what is held, only degrades: cached data is served all the same.
    func ready(_ answer: AdminAnswer) {
        let state = self.shared.lifecycle.state
        let degraded = self.shared.degraded
        let status = state == .live ? 200 : 503
        if answer.wantsText {
            let lines = [Self.name(of: state)] + degraded.map { "degraded: \($0)" }
            return answer.text(status, lines.joined(separator: "\n") + "\n")
        }
        answer.json(status) { json in
            json.object {
                $0.field("state", Self.name(of: state))
                $0.field("degraded", degraded)
            }
        }
    }

    static func name(of state: Lifecycle.State) -> String {
        switch state {
        case .starting: "STARTING"
        case .live: "LIVE"
        case .draining: "DRAINING"
        }
    }

    /// Whether the loops turn; says which does not.
    func live(_ answer: AdminAnswer) {
        let stuck = self.shared.stuckLoops(at: Loop.monotonicNow())
        if answer.wantsText {
            let lines = [("live", stuck.isEmpty ? "true" : "false")] + stuck.map { ("stuck", $0) }
            return answer.lines(status: stuck.isEmpty ? 200 : 503, lines)
        }
        answer.json(stuck.isEmpty ? 200 : 503) { json in
            json.object {
                $0.field("live", stuck.isEmpty)
                $0.field("stuck", stuck)
            }
        }
    }

    func serverInfo(_ answer: AdminAnswer) {
        let uptime = (Loop.monotonicNow() - self.shared.startedAtMonotonic).rawValue / 1_000_000_000
        if answer.wantsText {
            return answer.lines([
                ("version", weirVersion), ("state", Self.name(of: self.shared.lifecycle.state)),
                ("uptime_seconds", String(uptime)), ("pid", String(getpid())),
                ("workers", String(self.shared.links.count)), ("config", self.shared.configuration.path),
            ])
        }
        answer.json { json in
            json.object {
                $0.field("version", weirVersion)
                $0.field("state", Self.name(of: self.shared.lifecycle.state))
                $0.field("uptime_seconds", uptime)
                $0.field("pid", Int(getpid()))
                $0.field("workers", self.shared.links.count)
                $0.field("config", self.shared.configuration.path)
            }
        }
    }

    func upstreams(_ answer: AdminAnswer) {
        if answer.wantsText { return answer.table(self.upstreamTable) }
        answer.json { json in
            json.object {
                $0.array("upstreams") { list in
                    for upstream in self.shared.configuration.upstreams { self.write(upstream, to: &list) }
                }
            }
        }
    }

    private func write(_ upstream: UpstreamConfiguration, to list: inout JSONWriter) {
        let summary = self.shared.upstreams.summary(of: upstream.name)
        list.object {
            $0.field("name", upstream.name)
            $0.field("protocol", Self.protocolName(upstream))
            $0.array("servers") { servers in
                for server in summary.servers {
                    servers.object {
                        $0.field("address", server.address)
                        $0.field("state", server.state.name)
                        $0.field("last_error", server.lastError)
                        $0.field("connected_since", server.connectedSince?.rfc3339)
                    }
                }
            }
            $0.field("streams", summary.streams)
        }
    }

    static func protocolName(_ upstream: UpstreamConfiguration) -> String {
        switch upstream.origin {
        case .grpc(let origin): origin.variant.rawValue
        case .files: "files"
        case .program: "program"
        case .http: "http"
        }
    }

    private var upstreamTable: TextTable {
        var table = TextTable(["UPSTREAM", "PROTOCOL", "SERVER", "STATE", "SINCE", "STREAMS", "LAST ERROR"])
        for upstream in self.shared.configuration.upstreams {
            let summary = self.shared.upstreams.summary(of: upstream.name)
            for server in summary.servers {
                table.add([
                    upstream.name, Self.protocolName(upstream), server.address, server.state.name,
                    server.connectedSince?.rfc3339 ?? "-", String(summary.streams),
                    server.lastError.isEmpty ? "-" : server.lastError,
                ])
            }
        }
        return table
    }

    // MARK: Logging and drain

    func logging(_ answer: AdminAnswer) {
        let level = self.shared.logger.level.name
        if answer.wantsText { return answer.lines([("level", level)]) }
        answer.json { json in json.object { $0.field("level", level) } }
    }

    func setLogging(_ answer: AdminAnswer) {
        guard let name = answer.query("level"), let level = LogLevel(name) else {
            return answer.error(400, "POST /logging?level=LEVEL takes debug, info, warning or error")
        }
        self.shared.logger.level = level
        self.shared.logger.log(.info, "log level set", [("level", level.name)])
        self.logging(answer)
    }

    /// Unready, GOAWAY, no new connections; the process goes on until SIGTERM.
    func drain(_ answer: AdminAnswer) {
        self.shared.lifecycle.enter(.draining)
        let timeout = self.shared.drainTimeout.withLock { $0 }
        for link in self.shared.links { link.post(.drain(timeout)) }
        self.shared.logger.log(.info, "draining on request")
        answer.json { json in json.object { $0.field("state", "DRAINING") } }
    }
}
