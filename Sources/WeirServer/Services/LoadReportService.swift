import WeirBase
import WeirConfig
import WeirEngine
import WeirHTTP2
import WeirLoop
import WeirSnapshots
import WeirObserve
import WeirTransport
import WeirUpstream
import WeirXDS

/// `envoy.service.load_stats.v3.LoadReportingService` of one worker: passes each client's stream on, one to one, to the
/// upstream of the client's group (SVC-05 to SVC-07).
final class LoadReportService {
    /// Holds the services.
    private unowned let worker: Worker
    /// Streams whose first message has not come.
    private var silent: [ObjectIdentifier: LoadReportStream] = [:]

    init(worker: Worker) { self.worker = worker }

    func open(_ call: ServiceCall) -> any ServiceStream {
        let stream = LoadReportStream(self.worker, self, call)
        self.silent[ObjectIdentifier(stream)] = stream
        return stream
    }

    func hasSpoken(_ stream: LoadReportStream) { self.silent[ObjectIdentifier(stream)] = nil }

    /// Ends the streams that have said nothing for too long, as for discovery.
    func tick() {
        guard !self.silent.isEmpty else { return }
        let timeout = self.worker.shard.policy.firstRequestTimeout
        for stream in self.silent.values where self.worker.loop.now - stream.openedAt > timeout {
            self.hasSpoken(stream)
            stream.refuse(
                .deadlineExceeded, .firstRequestTimeout,
                "no load report within \(timeout.seconds) s of opening the stream")
        }
    }
}

/// One client's stream of load reports and the upstream's answers to it. Messages are passed on byte for byte, both
/// ways, one at a time: the next one is read when the last one has left. Ends are passed on with their status.
final class LoadReportStream: ServiceStream {
    let openedAt: Instant
    private let worker: Worker
    /// Ends with the worker; calls are over before.
    private unowned let service: LoadReportService
    private let call: ServiceCall
    private var upstream: ForwardedCall?
    /// The first message, until the upstream's stream is open.
    private var first: [UInt8]?
    private var isHalfClosed = false

    init(_ worker: Worker, _ service: LoadReportService, _ call: ServiceCall) {
        self.worker = worker
        self.service = service
        self.call = call
        self.openedAt = worker.loop.now
    }

    // MARK: From the client

    func message(_ bytes: Span<UInt8>) {
        self.call.pause()
        let message = bytes.array(ByteRange(offset: 0, count: bytes.count))
        guard let upstream = self.upstream else {
            self.service.hasSpoken(self)
            return self.begin(message)
        }
        upstream.send(message)
    }

    func halfClosed() {
        self.isHalfClosed = true
        guard let upstream = self.upstream else { return self.call.finish(.ok) }
        if self.first == nil { upstream.halfClose() }
    }

    func drained() { self.upstream?.resume() }

    func closed() {
        self.service.hasSpoken(self)
        self.upstream?.cancel()
        self.upstream = nil
    }

    /// Finds the upstream by the first message's node, as discovery would without a type.
    private func begin(_ message: [UInt8]) {
        var node: [UInt8]?
        do throws(WireError) {
            node = try LoadStatsRequest.node(decoding: message.span)
        } catch {
            let text = "the LoadStatsRequest cannot be decoded: \(error)"
            return self.refuse(.invalidArgument, .malformed, text)
        }
        guard let node = node, !node.isEmpty else {
            let text = "the first LoadStatsRequest must carry a node, and this one has none"
            return self.refuse(.invalidArgument, .node, text)
        }
        let request = KeyRequest(node: node, typeURL: "", resourceNames: [], peer: self.call.peer)
        switch self.worker.resolve(request) {
        case .refused(let text): self.refuse(.invalidArgument, .noRule, text)
        case .denied(let text): self.refuse(.permissionDenied, .identity, text)
        case .group(let key, let upstream, _, _, _, _): self.forward(message, key, upstream)
        }
    }

    private func forward(_ message: [UInt8], _ key: String, _ name: String) {
        guard self.worker.shared.configuration.upstream(named: name) != nil else {
            let text = "key \"\(key)\" belongs to upstream \"\(name)\", which takes a restart of the relay"
            return self.refuse(.unavailable, .unknownUpstream, text)
        }
        guard let client = self.worker.homes.upstreams[name] else {
            let kind = self.worker.shared.snapshots[name]?.kind ?? "no control plane"
            let text = "key \"\(key)\" has upstream \"\(name)\", which is \(kind): nobody there takes load reports"
            return self.call.finish(.unimplemented, text)
        }
        self.call.connection.respond(self.call.stream)
        self.first = message
        self.upstream = client.forward(ServiceMethod.streamLoadStats.rawValue, self)
        self.worker.shared.logger.log(
            .debug, "load reports", [("key", key), ("upstream", name), ("peer", self.call.peer.address)])
    }

    func refuse(_ status: GRPCStatus, _ reason: RejectionReason, _ message: String) {
        self.worker.shared.metrics.rejected(reason).add(1)
        self.worker.shared.logger.logOften(
            .warning, "stream refused", [("peer", self.call.peer.address), ("reason", message)])
        self.call.finish(status, message)
    }
}

// MARK: - From the upstream

extension LoadReportStream: ForwardedCallDelegate {
    func opened(_ call: ForwardedCall) {
        guard let first = self.first else { return }
        self.first = nil
        call.send(first)
        if self.isHalfClosed { call.halfClose() }
    }

    func received(_ call: ForwardedCall, _ bytes: Span<UInt8>) {
        call.pause()
        self.call.send(bytes.array(ByteRange(offset: 0, count: bytes.count)))
    }

    func drained(_ call: ForwardedCall) { self.call.resume() }

    func ended(_ call: ForwardedCall, _ status: GRPCStatus, _ message: String) {
        self.call.finish(status, message)
    }
}
