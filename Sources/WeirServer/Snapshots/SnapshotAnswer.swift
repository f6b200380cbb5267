import WeirBase
import WeirEngine
import WeirFiles
import WeirHTTP1
import WeirXDS

/// One request about snapshots and the ways to answer it. Any thread.
struct SnapshotAnswer: Sendable {
    let request: HTTPRequest
    let responder: HTTPResponder

    func json(_ status: Int, headers: [(String, String)] = [], _ build: (inout JSONWriter) -> Void) {
        var writer = JSONWriter()
        build(&writer)
        self.send(status, writer.bytes + [UInt8(ascii: "\n")], headers)
    }

    private func send(_ status: Int, _ body: [UInt8], _ headers: [(String, String)]) {
        self.responder.respond(
            status: status, contentType: "application/json",
            headers: headers + [("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff")], body: body)
    }

    func error(_ error: SnapshotError) {
        self.json(error.status, headers: error.headers) { json in json.object { $0.field("error", error.message) } }
    }

    /// Everything that is wrong with what was put.
    func faults(_ status: Int, _ faults: [SnapshotFault]) {
        let count = "\(faults.count) mistake\(faults.count == 1 ? "" : "s")"
        self.json(status) { json in
            json.object { object in
                object.field("error", "\(count): nothing was changed")
                object.array("errors") { list in for fault in faults { list.object { Self.write(fault, to: &$0) } } }
            }
        }
    }

    private static func write(_ fault: SnapshotFault, to object: inout JSONWriter) {
        if let index = fault.index {
            object.object("resource") {
                $0.field("index", index)
                $0.field("type", fault.typeURL.isEmpty ? nil : XDSType.of(typeURL: fault.typeURL).label)
                $0.field("name", fault.name.isEmpty ? nil : fault.name)
            }
        }
        object.field("field", fault.field.isEmpty ? nil : fault.field)
        object.field("message", fault.message)
    }

    // MARK: Snapshots

    /// In the form in which they are put, but for secrets, which are redacted.
    func snapshot(
        _ contents: [String: Snapshot.Content], version: String, tag: String, _ dumper: ResourceDumper
    ) {
        if Negotiation.matches(self.request.ifNoneMatch, tag: tag) { return self.send(304, [], [("ETag", tag)]) }
        self.json(200, headers: [("ETag", tag)]) { json in
            json.object { object in
                object.field("version_info", version)
                object.array("resources") { list in
                    let types = contents.map { (XDSType.of(typeURL: $0.key), $0.value) }
                    for (type, content) in types.sorted(by: {
                        ($0.0.pushOrder, $0.0.typeURL) < ($1.0.pushOrder, $1.0.typeURL)
                    }) {
                        for (_, resource) in content.resources.sorted(by: { $0.key < $1.key }) {
                            list.raw(Self.body(resource, type, dumper))
                        }
                    }
                }
            }
        }
    }

    /// With the wrapper around it where the resource does not say its name itself.
    private static func body(_ resource: Resource, _ type: XDSType, _ dumper: ResourceDumper) -> [UInt8] {
        let body = dumper.body(resource, type: type)
        guard Self.ownName(of: resource, type) != resource.name else { return body }
        var json = JSONWriter()
        json.object {
            $0.field("@type", XDSType.wrapperURL)
            $0.field("name", resource.name)
            $0.field("resource", raw: body)
        }
        return json.bytes
    }

    private static func ownName(of resource: Resource, _ type: XDSType) -> String? {
        let encoded = resource.encoded
        let span = encoded.span
        guard let nameField = type.nameField, let any = try? AnyEnvelope(decoding: resource.anyRange, in: span) else {
            return nil
        }
        var name: String?
        var reader = WireReader(any.value)
        while let field = try? reader.next(in: span) {
            if field.number == nameField { name = (try? field.bytes()).map { span.string($0) } }
        }
        return name
    }

    // MARK: Changes

    func changed(_ change: SnapshotChange) {
        let tag = change.tag(of: change.isDryRun ? change.old : change.new)
        let isNew = change.outcome == .created && !change.isDryRun
        self.json(isNew ? 201 : 200, headers: tag.map { [("ETag", $0)] } ?? []) { json in
            json.object { object in
                object.field("key", change.key)
                object.field("outcome", change.outcome.rawValue)
                if change.isDryRun { object.field("dry_run", true) }
                object.field("version_info", change.version)
                object.field("etag", change.tag(of: change.new))
                if let isStored = change.isStored { object.field("stored", isStored) }
                SnapshotDifference(from: change.old, to: change.new).write(to: &object)
            }
        }
    }
}
