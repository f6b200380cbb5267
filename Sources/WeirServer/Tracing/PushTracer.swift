import WeirBase
import WeirEngine
import WeirTrace
import WeirXDS

/// Makes a trace of each push, of what workers tell the journal. Confined to the journal's thread.
///
/// A trace is exported when the last stream has acknowledged the push, or after `patience`; one that concerned nobody, at
/// once.
final class PushTracer {
    /// Pushes that wait for their last ACK at once; beyond, the oldest is exported as it stands.
    private static let openMax = 4096
    /// How long an ACK is waited for.
    static let patience = Nanoseconds.seconds(60)
    private static let nacksMax = 20

    private struct Place: Hashable {
        var key: String
        var type: XDSType
    }

    /// What is told of a push, without the resources that it brought.
    private struct Facts {
        let id: PushID
        let key: String
        let type: XDSType
        let version: String
        let server: String
        let receivedAt: Instant
        let receivedAtWall: WallTime
        var outcome: PushOutcome
        var detail: String

        init(_ report: PushReport) {
            self.id = report.id
            self.key = report.key
            self.type = report.type
            self.version = report.version
            self.server = report.server
            self.receivedAt = report.receivedAt
            self.receivedAtWall = report.receivedAtWall
            self.outcome = report.outcome
            self.detail = report.detail
        }
    }

    private struct OpenPush {
        var report: Facts
        var upstream: String
        var counts: [(name: String, count: Int)]
        var trace: TraceID
        /// When it was known what it changes, and workers were told.
        var toldAt: Instant
        var unwritten: UInt64
        var unacked: UInt64
        var told: UInt64
        var writtenAt: Instant?
        var ackedAt: Instant?
        var responses = 0
        var nacks: [SpanEvent] = []
        var nackCount = 0
    }

    private let exporter: TraceExporter
    private var open: [Place: [OpenPush]] = [:]
    private var order: [(id: PushID, place: Place)] = []
    private var generator = SystemRandomNumberGenerator()

    init(_ exporter: TraceExporter) { self.exporter = exporter }

    /// A push was made; `counts` of what came, changed and went.
    func add(_ report: PushReport, upstream: String, _ counts: [(name: String, count: Int)], toldAt: Instant) {
        if report.outcome == .unchanged { return }
        let trace = TraceID(using: &self.generator)
        guard trace.isSampled(share: self.exporter.share) else { return }
        let push = OpenPush(
            report: Facts(report), upstream: upstream, counts: counts, trace: trace,
            toldAt: max(toldAt, report.receivedAt),
            unwritten: report.workers, unacked: report.workers, told: report.workers)
        guard report.workers != 0 else { return self.export(push) }
        let place = Place(key: report.key, type: report.type)
        self.open[place, default: []].append(push)
        self.order.append((report.id, place))
        if self.order.count > Self.openMax, let oldest = self.order.first { self.finish(oldest.id, oldest.place) }
    }

    /// Something else became of it, and so many more workers were told.
    func amend(_ id: PushID, key: String, type: XDSType, outcome: PushOutcome, detail: String, workers: UInt64) {
        self.change(id, Place(key: key, type: type)) { push in
            push.report.outcome = outcome
            push.report.detail = detail
            let new = workers & ~push.told
            push.told |= new
            push.unwritten |= new
            push.unacked |= new
        }
    }

    func written(_ taken: TakenPush, worker: Int, at now: Instant) {
        self.change(taken.push, Place(key: taken.key, type: taken.type)) { push in
            push.unwritten &= ~(1 << UInt64(worker))
            push.responses += taken.responses
            push.writtenAt = max(push.writtenAt ?? now, now)
        }
    }

    func nacked(_ id: PushID, key: String, type: XDSType, node: String, message: String, at now: WallTime) {
        self.change(id, Place(key: key, type: type)) { push in
            push.nackCount += 1
            guard push.nacks.count < Self.nacksMax else { return }
            push.nacks.append(
                SpanEvent(
                    "nack", at: now, [SpanAttribute("weir.node.id", node), SpanAttribute("weir.nack.message", message)])
            )
        }
    }

    /// All streams of a worker have answered a push, and with it all earlier ones of its type.
    func acknowledged(_ id: PushID, key: String, type: XDSType, worker: Int, at now: Instant) {
        let place = Place(key: key, type: type)
        guard var pushes = self.open[place] else { return }
        var settled: [PushID] = []
        for index in pushes.indices where pushes[index].report.id <= id {
            pushes[index].unacked &= ~(1 << UInt64(worker))
            guard pushes[index].unacked == 0 else { continue }
            pushes[index].ackedAt = now
            settled.append(pushes[index].report.id)
        }
        self.open[place] = pushes
        for id in settled { self.finish(id, place) }
    }

    /// Exports what has waited for too long.
    func expire(at now: Instant) {
        while let oldest = self.order.first {
            let push = self.open[oldest.place]?.first { $0.report.id == oldest.id }
            if let push = push, now - push.report.receivedAt < Self.patience { return }
            self.finish(oldest.id, oldest.place)
        }
    }

    /// Exports everything as it stands.
    func finishAll() {
        while let oldest = self.order.first { self.finish(oldest.id, oldest.place) }
    }

    private func change(_ id: PushID, _ place: Place, _ body: (inout OpenPush) -> Void) {
        guard let index = self.open[place]?.firstIndex(where: { $0.report.id == id }) else { return }
        if var push = self.open[place]?[index] {
            body(&push)
            self.open[place]?[index] = push
        }
    }

    private func finish(_ id: PushID, _ place: Place) {
        self.order.removeAll { $0.id == id }
        guard let index = self.open[place]?.firstIndex(where: { $0.report.id == id }),
            let push = self.open[place]?.remove(at: index)
        else { return }
        if self.open[place]?.isEmpty == true { self.open[place] = nil }
        self.export(push)
    }

    // MARK: Spans

    private func export(_ push: OpenPush) {
        let end = push.ackedAt ?? push.writtenAt ?? push.toldAt
        var root = self.span("weir.push", of: push, parent: nil, from: push.report.receivedAt, to: end)
        root.kind = .consumer
        root.attributes = Self.attributes(of: push)
        root.events = push.nacks
        if push.report.outcome == .rejected { root.failure = push.report.detail }
        if push.nackCount > 0 { root.failure = "rejected by \(push.nackCount) stream\(push.nackCount == 1 ? "" : "s")" }
        var spans = [root, self.span("diff", of: push, parent: root.id, from: push.report.receivedAt, to: push.toldAt)]
        if let written = push.writtenAt {
            spans.append(self.span("fan-out", of: push, parent: root.id, from: push.toldAt, to: written))
            if let acked = push.ackedAt {
                spans.append(self.span("acknowledge", of: push, parent: root.id, from: written, to: acked))
            }
        }
        self.exporter.export(spans)
    }

    private func span(_ name: String, of push: OpenPush, parent: SpanID?, from: Instant, to: Instant) -> Span {
        let origin = push.report.receivedAtWall.rawValue
        let wall: (Instant) -> WallTime = { WallTime(rawValue: origin + ($0 - push.report.receivedAt).rawValue) }
        return Span(
            trace: push.trace, id: SpanID(using: &self.generator), parent: parent, name, start: wall(from),
            end: wall(to))
    }

    private static func attributes(of push: OpenPush) -> [SpanAttribute] {
        let report = push.report
        var attributes = [
            SpanAttribute("weir.push.id", report.id.description), SpanAttribute("weir.key", report.key),
            SpanAttribute("weir.type", report.type.label), SpanAttribute("weir.version", report.version),
            SpanAttribute("weir.upstream", push.upstream), SpanAttribute("weir.outcome", report.outcome.text),
            SpanAttribute("weir.workers", push.told.nonzeroBitCount), SpanAttribute("weir.responses", push.responses),
            SpanAttribute("weir.nacks", push.nackCount),
            SpanAttribute("weir.acknowledged", .bool(push.ackedAt != nil)),
        ]
        attributes += push.counts.map { SpanAttribute("weir.resources.\($0.name)", $0.count) }
        if !report.server.isEmpty { attributes.append(SpanAttribute("weir.server", report.server)) }
        if !report.detail.isEmpty { attributes.append(SpanAttribute("weir.detail", report.detail)) }
        return attributes
    }
}
