import WeirBase
import WeirEngine
import WeirHTTP1
import WeirXDS

/// The streams that one worker lists.
struct StreamPage: Sendable {
    var worker: Int
    var streams: [StreamStatus]
    var matched: Int
    /// The slot of the first that is not listed.
    var next: Int?
}

/// `/clients`: the streams, in the order of workers and slots, which streams keep while they last.
extension AdminServer {
    func clients(_ answer: AdminAnswer) throws(AdminFault) {
        let filter = try Self.streamFilter(answer)
        let start = answer.query("cursor").flatMap { StreamCursor($0) } ?? .start
        self.streams(filter, from: start, limit: answer.limit) { gathered in
            let (streams, next) = Self.page(gathered.parts, limit: answer.limit)
            let total = gathered.parts.reduce(0) { $0 + $1.matched }
            let missing = gathered.missing
            if answer.wantsText {
                let notes = pageNotes(listed: streams.count, total: total, next: next?.text, missing: missing)
                return answer.table(Self.clientTable(streams), notes)
            }
            var names = NameLists()
            answer.json { json in
                json.object {
                    $0.array("clients") { list in for stream in streams { Self.write(stream, &names, to: &list) } }
                    $0.page(total: total, next: next?.text, missing: missing)
                }
            }
        }
    }

    static func streamFilter(_ answer: AdminAnswer, proxyID: String? = nil) throws(AdminFault) -> StreamFilter {
        var filter = StreamFilter()
        filter.key = answer.query("key")
        filter.node = try NodeFilter.read(answer.request.query, proxyID: proxyID)
        filter.typeURL = answer.typeURL()
        filter.state = answer.query("state").flatMap { TypeStatus.State(rawValue: $0) }
        return filter
    }

    /// Lists streams of all workers, from a place on.
    func streams(
        _ filter: StreamFilter, from start: StreamCursor = .start, limit: Int = .max,
        render: @escaping @Sendable (Gathered<StreamPage>) -> Void
    ) {
        self.gather(
            { (worker: Worker, done: @escaping @Sendable (StreamPage) -> Void) in
                let index = worker.index
                // What comes before the place is only counted.
                let first = index < start.worker ? Int.max : index == start.worker ? start.slot : 0
                let walk = StreamWalk(filter, from: first, limit: limit, budget: Self.pageBytesMax)
                worker.collectStreams(walk) { walk in
                    done(StreamPage(worker: index, streams: walk.streams, matched: walk.matched, next: walk.next))
                }
            }, render: render)
    }

    /// The first `limit` streams of what all workers list, and where it goes on.
    static func page(_ pages: [StreamPage], limit: Int) -> (streams: [StreamStatus], next: StreamCursor?) {
        var streams: [StreamStatus] = []
        for page in pages {
            let room = limit - streams.count
            if page.streams.count > room {
                return (
                    streams + page.streams.prefix(room),
                    StreamCursor(worker: page.worker, slot: page.streams[room].slot)
                )
            }
            streams += page.streams
            if let next = page.next { return (streams, StreamCursor(worker: page.worker, slot: next)) }
        }
        return (streams, nil)
    }

    private static func write(_ stream: StreamStatus, _ names: inout NameLists, to list: inout JSONWriter) {
        list.object {
            $0.field("node", stream.nodeID)
            $0.field("cluster", stream.cluster)
            $0.field("peer", stream.peer)
            $0.field("key", stream.key)
            $0.field("service", stream.service)
            $0.field("protocol", stream.variant.rawValue)
            $0.field("since", stream.since.rfc3339)
            $0.object("types") { types in for type in stream.types { Self.write(type, &names, to: &types) } }
        }
    }

    private static func write(_ type: TypeStatus, _ names: inout NameLists, to types: inout JSONWriter) {
        types.object(type.type.label) {
            $0.field("subscribed", raw: names.json(type))
            $0.field("sent", type.sent)
            $0.field("acked", type.acked)
            $0.field("state", type.state.rawValue)
            Self.write(type.rejection, to: &$0)
        }
    }

    /// `nack`: null or the last rejection.
    static func write(_ rejection: Rejection?, to object: inout JSONWriter) {
        guard let rejection = rejection else {
            object.key("nack")
            return object.null()
        }
        object.object("nack") {
            $0.field("version", rejection.version)
            $0.field("message", rejection.message)
            $0.field("at", rejection.at.rfc3339)
        }
    }

    private static func clientTable(_ streams: [StreamStatus]) -> TextTable {
        var table = TextTable(["NODE", "KEY", "PROTOCOL", "SERVICE", "PEER", "SINCE", "TYPES"])
        for stream in streams {
            let types = stream.types.map { "\($0.type.label):\($0.state.rawValue)" }.joined(separator: " ")
            table.add([
                stream.nodeID, stream.key, stream.variant.rawValue, stream.service, stream.peer,
                stream.since.rfc3339, types,
            ])
        }
        return table
    }
}

/// Lists of names as JSON; what many streams share is written once.
struct NameLists {
    private var known: [ObjectIdentifier: [UInt8]] = [:]

    /// `"*"` for the wildcard alone, else a list, with `"*"` first where there are both.
    mutating func json(_ type: TypeStatus) -> [UInt8] {
        if type.wildcard, type.subscribed.names.isEmpty { return Array("\"*\"".utf8) }
        // The same names with and without the wildcard are different lists.
        let id = ObjectIdentifier(type.subscribed)
        if !type.wildcard, let list = self.known[id] { return list }
        var json = JSONWriter()
        json.array {
            if type.wildcard { $0.value("*") }
            for name in type.names { $0.value(name) }
        }
        if !type.wildcard { self.known[id] = json.bytes }
        return json.bytes
    }
}
