import WeirBase
import WeirConfig
import WeirEngine
import WeirFiles
import WeirHTTP1
import WeirHash
import WeirLoop
import WeirObserve
import WeirProtobuf
import WeirSnapshots
import WeirXDS

/// What is asked, one after another on the server's thread.
extension SnapshotServer {
    func serve(_ request: HTTPRequest, _ responder: HTTPResponder) {
        let answer = SnapshotAnswer(request: request, responder: responder)
        do throws(SnapshotError) {
            let path = try SnapshotPath(request.rawPath)
            switch (request.method, path) {
            case ("GET", _), ("HEAD", _):
                try Self.checkQuery(request, path == .list ? ["limit", "cursor"] : [])
                try self.read(path, answer)
                self.note(.read)
            case ("PUT", .key), ("PUT", .type):
                try Self.checkQuery(request, ["dry_run"])
                try self.put(path, answer)
            case ("DELETE", .key), ("DELETE", .type):
                try Self.checkQuery(request, ["dry_run"])
                try self.remove(path, answer)
            default:
                let methods = path == .list ? "GET, HEAD" : "GET, HEAD, PUT, DELETE"
                throw SnapshotError(
                    405, "\(request.path) takes \(methods), not \(request.method)", headers: [("Allow", methods)])
            }
        } catch {
            switch error.outcome {
            case .invalid: self.note(.invalid)
            case .conflict: self.note(.conflict)
            case .refused: self.note(.refused)
            }
            answer.error(error)
        }
    }

    private static func checkQuery(_ request: HTTPRequest, _ known: [String]) throws(SnapshotError) {
        for (name, _) in request.query where !known.contains(name) {
            let hint = nearestName(to: name, among: known).map { "; did you mean \($0)?" } ?? ""
            throw SnapshotError(400, "unknown parameter \"\(name)\"\(hint)")
        }
    }

    // MARK: Reading

    private func read(_ path: SnapshotPath, _ answer: SnapshotAnswer) throws(SnapshotError) {
        let dumper = ResourceDumper(descriptors: self.shared.descriptors)
        switch path {
        case .list: try self.list(answer)
        case .key(let key):
            guard let snapshot = self.origin.snapshot(for: key) else { throw Self.notFound(key) }
            answer.snapshot(snapshot.contents, version: snapshot.version, tag: snapshot.tag, dumper)
        case .type(let key, let typeURL):
            guard let content = self.origin.snapshot(for: key)?.content(ofType: typeURL) else {
                throw Self.notFound(key, typeURL)
            }
            answer.snapshot([typeURL: content], version: content.version, tag: content.entityTag, dumper)
        }
    }

    private static func notFound(_ key: String, _ typeURL: String? = nil) -> SnapshotError {
        let type = typeURL.map { "type \(XDSType.of(typeURL: $0).label) of " } ?? ""
        return SnapshotError(404, "nothing was put for \(type)key \"\(key)\"")
    }

    private static let listMax = 1_000

    private func list(_ answer: SnapshotAnswer) throws(SnapshotError) {
        let query = answer.request.queryValue("limit")
        let limit = query.flatMap { Int($0) } ?? (query == nil ? Self.listMax : 0)
        guard (1...Self.listMax).contains(limit) else {
            throw SnapshotError(400, "limit is a number from 1 to \(Self.listMax)")
        }
        let all = self.origin.states.filter { $0.value.snapshot != nil }.sorted { $0.key < $1.key }
        let cursor = answer.request.queryValue("cursor") ?? ""
        let page = all.filter { cursor.isEmpty || $0.key > cursor }
        let next = page.count > limit ? page[limit - 1].key : nil
        answer.json(200) { json in
            json.object { object in
                object.field("total", all.count)
                object.field("next_cursor", next)
                object.array("snapshots") { list in
                    for (key, state) in page.prefix(limit) {
                        guard let snapshot = state.snapshot else { continue }
                        list.object { Self.write(snapshot, key, state.updated, to: &$0) }
                    }
                }
            }
        }
    }

    private static func write(
        _ snapshot: Snapshot, _ key: String, _ updated: WallTime?, to object: inout JSONWriter
    ) {
        object.field("key", key)
        object.field("version_info", snapshot.isWhole ? snapshot.version : nil)
        object.field("etag", snapshot.tag)
        object.field("updated", updated?.rfc3339)
        object.field("bytes", snapshot.bytes)
        object.object("types") { types in
            for (url, content) in snapshot.contents.sorted(by: { $0.key < $1.key }) {
                types.object(XDSType.of(typeURL: url).label) {
                    $0.field("version_info", content.version)
                    $0.field("etag", content.entityTag)
                    $0.field("resources", content.resources.count)
                }
            }
        }
    }

    // MARK: Changing

    private func put(_ path: SnapshotPath, _ answer: SnapshotAnswer) throws(SnapshotError) {
        let typeURL: String? = if case .type(_, let url) = path { url } else { nil }
        guard let body = try self.body(answer, typeURL) else { return }
        let resources = body.resources.map { SnapshotResource(typeURL: $0.typeURL, name: $0.name, any: $0.any) }
        var put = Snapshot()
        if let typeURL {
            put.set(resources, ofType: typeURL, version: body.version)
        } else {
            put = Snapshot(resources, version: body.version)
        }
        try self.change(path, answer) { [put] old in
            guard let typeURL else { return put }
            var new = old ?? Snapshot()
            new.take(typeURL, from: put)
            return new
        }
    }

    private func remove(_ path: SnapshotPath, _ answer: SnapshotAnswer) throws(SnapshotError) {
        try self.change(path, answer) { old in
            guard case .type(_, let typeURL) = path, var new = old else { return nil }
            new.forget(typeURL: typeURL)
            return new.contents.isEmpty && !new.isWhole ? nil : new
        }
    }

    /// What the body says; nil if it was answered what is wrong with it.
    private func body(_ answer: SnapshotAnswer, _ typeURL: String?) throws(SnapshotError) -> SnapshotBody? {
        let request = answer.request
        guard let descriptors = self.shared.descriptors else {
            throw SnapshotError(
                503, "the descriptor set (xds-descriptors.binpb beside the program) is missing: nothing can be checked")
        }
        if let encoding = request.contentEncoding, encoding.lowercased() != "identity" {
            throw SnapshotError(415, "Content-Encoding \(encoding) is not taken: send the body as it is")
        }
        let reading: SnapshotReading
        switch (request.contentType ?? "").split(separator: ";").first.map({ $0.lowercased() }) ?? "" {
        case "application/json":
            reading = readSnapshot(json: request.body, typeURL: typeURL, descriptors: descriptors)
        case "application/x-protobuf", "application/protobuf", "application/vnd.google.protobuf":
            reading = readSnapshot(protobuf: request.body, typeURL: typeURL, descriptors: descriptors)
        default:
            throw SnapshotError(
                415,
                "Content-Type must be application/json or application/x-protobuf"
                    + (request.contentType.map { ", not \($0)" } ?? ""))
        }
        switch reading {
        case .read(let body): return body
        case .malformed(let fault): answer.faults(400, [fault])
        case .invalid(let faults): answer.faults(422, faults)
        }
        self.note(.invalid)
        return nil
    }

    /// Puts what `make` makes of the present snapshot in its place, if the request's conditions hold.
    private func change(
        _ path: SnapshotPath, _ answer: SnapshotAnswer, _ make: @escaping (Snapshot?) -> Snapshot?
    ) throws(SnapshotError) {
        let (key, typeURL): (String, String?)
        switch path {
        case .list: return
        case .key(let ofWhole): (key, typeURL) = (ofWhole, nil)
        case .type(let ofType, let url): (key, typeURL) = (ofType, url)
        }
        let request = answer.request
        let keys = self.origin.snapshotCount
        var made = SnapshotChange(key: key, typeURL: typeURL, isDryRun: try Self.isDryRun(request))
        // What is thrown changes nothing; a change that is none is thrown, too.
        do throws(SnapshotStop) {
            try self.origin.change(key, at: Loop.wallNow()) { old throws(SnapshotStop) in
                made.old = old
                try made.check(request)
                made.new = make(old)
                if let new = made.new { try self.checkBounds(new, isNewKey: old == nil, keys: keys) }
                if made.isDryRun || made.new?.digest == old?.digest { throw SnapshotStop.nothing }
                return made.new
            }
        } catch {
            if case .error(let error) = error { throw error }
        }
        if made.outcome.changes, !made.isDryRun {
            made.isStored = self.keep(key)
            self.count()
            self.audit(request, key, made.auditFields)
        }
        self.note(made.isDryRun ? .dry_run : made.outcome.metric)
        answer.changed(made)
    }

    private func checkBounds(_ new: Snapshot, isNewKey: Bool, keys: Int) throws(SnapshotStop) {
        guard new.bytes <= self.configuration.snapshotBytesMax else {
            throw .error(
                SnapshotError(
                    413,
                    "all resources of a key may have \(self.configuration.snapshotBytesMax) bytes together "
                        + "(upstreams.\(self.upstream).http.max_snapshot_size); these have \(new.bytes)", .refused))
        }
        guard !isNewKey || keys < self.configuration.keysMax else {
            throw .error(
                SnapshotError(
                    507,
                    "\(keys) keys have snapshots, as many as may (upstreams.\(self.upstream).http.max_keys): "
                        + "remove one that is not needed", .refused))
        }
    }

    private static func isDryRun(_ request: HTTPRequest) throws(SnapshotError) -> Bool {
        switch request.queryValue("dry_run") {
        case nil, "false": false
        case "", "true": true
        case let value?: throw SnapshotError(400, "dry_run=\(value): it takes true or false, or nothing")
        }
    }
}

extension Snapshot {
    /// The entity tag of the whole.
    var tag: String { "\"\(self.digest.shortHex)\"" }
}

extension Snapshot.Content {
    /// The entity tag of a type.
    var entityTag: String { "\"\(self.tag.shortHex)\"" }
}
