import Glibc
import Synchronization
import WeirBase
import WeirConfig
import WeirHTTPClient
import WeirLoop
import WeirObserve
import WeirTrace

/// Sends spans to a collector, from a thread of its own. Nobody waits for it: what it cannot take is dropped and counted.
final class TraceExporter: Sendable {
    private enum Job: Sendable {
        case spans([Span])
        case stop
    }

    /// Traces that may wait, of a few spans each.
    private static let tracesMax = 2048
    /// Spans in one request.
    private static let batchMax = 512

    /// The share of traces that is kept.
    let share: Double
    private let configuration: TracingConfiguration
    private let metrics: RelayMetrics
    private let logger: Logger
    private let mailbox = Mailbox<Job>(capacity: TraceExporter.tracesMax)
    private let isStopping = Atomic<Bool>(false)
    private let thread: Locked<WorkerThread?> = Locked(nil)

    init(_ configuration: TracingConfiguration, _ metrics: RelayMetrics, _ logger: Logger) {
        self.share = configuration.share
        self.configuration = configuration
        self.metrics = metrics
        self.logger = logger
    }

    func start(instance: String) {
        let mailbox = self.mailbox
        let thread = WorkerThread(name: "weir-trace") { [self] in
            let sender = TraceSender(self.configuration, instance: instance)
            let loop = Loop()
            let inbox = Inbox(loop: loop, mailbox: mailbox) { jobs in
                var spans: [Span] = []
                var isLast = false
                for job in jobs {
                    switch job {
                    case .spans(let more): spans += more
                    case .stop: isLast = true
                    }
                }
                self.send(spans, sender)
                if isLast { loop.stop() }
            }
            loop.run()
            inbox.cancel()
        }
        self.thread.withLock { $0 = thread }
    }

    /// Sends what waits, for a second at most for each request, and ends.
    func stop() {
        guard let thread = self.thread.withLock({ $0.take() }) else { return }
        self.isStopping.store(true, ordering: .relaxed)
        self.mailbox.close(after: .stop)
        thread.join()
    }

    /// The spans of one trace. Any thread; never waits.
    func export(_ spans: [Span]) {
        if !self.mailbox.post(.spans(spans)) { self.metrics.traceSpans(outcome: "dropped").add(UInt64(spans.count)) }
    }

    // MARK: The thread

    private func send(_ spans: [Span], _ sender: TraceSender?) {
        var rest = spans[...]
        while !rest.isEmpty {
            let batch = Array(rest.prefix(Self.batchMax))
            rest = rest.dropFirst(batch.count)
            let outcome = self.send(batch, to: sender)
            self.metrics.traceSpans(outcome: outcome).add(UInt64(batch.count))
        }
    }

    /// Once more for what may pass: the collector's own limits, and a connection that was closed meanwhile.
    private func send(_ batch: [Span], to sender: TraceSender?) -> String {
        guard let sender = sender else { return "failed" }
        for attempt in 0..<2 {
            let isStopping = self.isStopping.load(ordering: .relaxed)
            let result = sender.send(batch, timeout: isStopping ? .seconds(1) : self.configuration.timeout)
            guard case .failed(let reason, let mayPass) = result else { return "sent" }
            if mayPass, attempt == 0, !isStopping {
                sleep(1)
                continue
            }
            self.logger.logOften(
                .warning, "spans not exported", linesMax: 10,
                [("endpoint", self.configuration.endpoint), ("reason", reason), ("spans", String(batch.count))])
            break
        }
        return "failed"
    }
}

/// Speaks OTLP over HTTP, confined to the exporter's thread.
private final class TraceSender {
    enum Result {
        case sent
        case failed(reason: String, mayPass: Bool)
    }

    private let configuration: TracingConfiguration
    private let client: HTTPClient
    private let resource: [SpanAttribute]

    /// Nil when there is no memory.
    init?(_ configuration: TracingConfiguration, instance: String) {
        guard let client = HTTPClient() else { return nil }
        self.configuration = configuration
        self.client = client
        self.resource = [
            SpanAttribute("service.name", configuration.serviceName), SpanAttribute("service.version", weirVersion),
            SpanAttribute("service.instance.id", instance),
        ]
    }

    func send(_ spans: [Span], timeout: Nanoseconds) -> Result {
        var request = HTTPClientRequest(method: "POST", url: self.configuration.endpoint)
        request.headers = [HTTPClientHeader("Content-Type", "application/x-protobuf")]
        request.headers += self.configuration.headers.map { HTTPClientHeader($0.name, $0.value) }
        request.body = OTLP.request(spans, resource: self.resource, scope: "weir", version: weirVersion)
        request.trust.authorities = self.configuration.authorities
        request.timeout = timeout
        request.connectTimeout = timeout
        request.bodyBytesMax = 1 << 20
        do throws(HTTPClientFailure) {
            let answer = try self.client.send(request)
            if (200..<300).contains(answer.status) { return .sent }
            return .failed(
                reason: "status \(answer.status)", mayPass: [429, 502, 503, 504].contains(answer.status))
        } catch {
            switch error {
            case .unreachable(let reason): return .failed(reason: reason, mayPass: true)
            case .broken(let reason): return .failed(reason: reason, mayPass: true)
            case .timedOut: return .failed(reason: "no answer in time", mayPass: false)
            case .tooLarge: return .failed(reason: "the answer is too large", mayPass: false)
            case .untrusted(let reason), .unusable(let reason): return .failed(reason: reason, mayPass: false)
            }
        }
    }
}
