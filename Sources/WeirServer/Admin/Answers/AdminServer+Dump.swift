import WeirBase
import WeirEngine
import WeirLoop
import WeirProtobuf
import WeirXDS

/// `/config_dump`: the resources that clients have, in the order of key, type and name.
extension AdminServer {
    func configDump(_ answer: AdminAnswer) {
        let key = answer.query("key")
        let name = answer.query("name")
        let typeURL = answer.typeURL()
        let cursor = answer.query("cursor").map { DumpCursor($0) }
        let filter: @Sendable (String) -> ResourceWalk.Filter? = { group in
            if let key = key, group != key { return nil }
            guard let cursor = cursor else { return ResourceWalk.Filter(typeURL: typeURL, name: name) }
            // What comes before the place is only counted.
            let all = "\u{10FFFF}"
            let after = group == cursor.key ? (cursor.typeURL, cursor.name) : group < cursor.key ? (all, "") : nil
            return ResourceWalk.Filter(typeURL: typeURL, name: name, after: after)
        }
        let (descriptors, renderer) = (self.descriptors, self.shared.renderer)
        self.gather { (worker: Worker, done: @escaping @Sendable (HeldPart) -> Void) in
            worker.collectResources(filter, done: done)
        } render: { gathered in
            let dump = ResourceDump(DumpPage(gathered, descriptors: descriptors, isTable: answer.wantsText))
            dump.write(limit: answer.limit, on: renderer) { bytes in
                answer.respond(200, answer.wantsText ? "text/plain; charset=utf-8" : "application/json", bytes)
            }
        }
    }
}

/// The place of a resource in a dump: key, type URL and name. Any text is a place.
struct DumpCursor: Sendable, Equatable {
    var key: String
    var typeURL: String
    var name: String

    init(key: String, typeURL: String, name: String) {
        self.key = key
        self.typeURL = typeURL
        self.name = name
    }

    init(_ text: String) {
        let parts = text.split(separator: ",", maxSplits: 2, omittingEmptySubsequences: false).map {
            percentDecoded($0)
        }
        self.init(key: parts[0], typeURL: parts.count > 1 ? parts[1] : "", name: parts.count > 2 ? parts[2] : "")
    }

    var text: String { [self.key, self.typeURL, self.name].map { percentEncoded($0) }.joined(separator: ",") }
}

/// Writes a dump in pieces, so that other answers need not wait for it.
private final class ResourceDump: Sendable {
    /// Only the renderer's thread comes here.
    private let page: Locked<DumpPage>

    init(_ page: DumpPage) { self.page = Locked(page) }

    func write(limit: Int, on renderer: AdminThread, done: @escaping @Sendable ([UInt8]) -> Void) {
        if let bytes = self.page.withLock({ $0.advance(limit: limit) }) { return done(bytes) }
        renderer.run { self.write(limit: limit, on: renderer, done: done) }
    }
}

/// One page of a dump, as far as it is written.
private struct DumpPage: Sendable {
    private struct Entry {
        var held: Int
        var resource: Resource
    }

    private let types: [HeldResources]
    private let entries: [Entry]
    /// What earlier pages had.
    private let skipped: Int
    private let missing: [Int]
    private let dumper: ResourceDumper
    private let isTable: Bool
    private var next = 0
    private var json: [UInt8] = []
    private var table = TextTable(["KEY", "TYPE", "NAME", "VERSION", "BYTES", "UPDATED"])

    private static let entriesPerPiece = 500

    init(_ gathered: Gathered<HeldPart>, descriptors: DescriptorSet?, isTable: Bool) {
        let types = gathered.parts.flatMap(\.found).sorted {
            ($0.key, $0.held.type.typeURL) < ($1.key, $1.held.type.typeURL)
        }
        self.types = types
        self.skipped = gathered.parts.reduce(0) { $0 + $1.skipped }
        self.missing = gathered.missing
        self.dumper = ResourceDumper(descriptors: descriptors)
        self.isTable = isTable
        // One group's type may come in several parts, from several origins: they are sorted together.
        var entries: [Entry] = []
        var start = 0
        for (index, part) in types.enumerated() {
            let isNew = index == 0 || types[index - 1].key != part.key || types[index - 1].held.type != part.held.type
            if isNew { start = entries.count }
            // One that is subscribed to by an alias stands under several names.
            var seen: Set<ObjectIdentifier> = []
            for resource in part.held.resources where seen.insert(ObjectIdentifier(resource)).inserted {
                entries.append(Entry(held: index, resource: resource))
            }
            entries[start...].sort { $0.resource.name < $1.resource.name }
        }
        self.entries = entries
    }

    /// Writes the next piece; the whole page once it is done.
    mutating func advance(limit: Int) -> [UInt8]? {
        let end = min(self.entries.count, self.next + Self.entriesPerPiece)
        while self.next < end, !self.isFull(limit) {
            self.add(self.entries[self.next])
            self.next += 1
        }
        return self.next >= self.entries.count || self.isFull(limit) ? self.finished : nil
    }

    /// A page ends between different names only, for names are what the next page begins after.
    private func isFull(_ limit: Int) -> Bool {
        guard self.next > 0, self.next >= limit || self.json.count >= AdminServer.pageBytesMax else { return false }
        return self.next >= self.entries.count || self.place(self.next - 1) != self.place(self.next)
    }

    private func place(_ index: Int) -> DumpCursor {
        let entry = self.entries[index]
        let part = self.types[entry.held]
        return DumpCursor(key: part.key, typeURL: part.held.type.typeURL, name: entry.resource.name)
    }

    private mutating func add(_ entry: Entry) {
        let part = self.types[entry.held]
        let resource = entry.resource
        guard !self.isTable else {
            return self.table.add([
                part.key, part.held.type.label, resource.name, resource.version, String(resource.encoded.count),
                part.held.updated?.rfc3339 ?? "-",
            ])
        }
        var writer = JSONWriter()
        self.dumper.write(
            resource, key: part.key, part.held.type, updated: part.held.updated, to: &writer)
        self.json += (self.next == 0 ? [] : [UInt8(ascii: ",")]) + writer.bytes
    }

    private var total: Int { self.skipped + self.entries.count }

    private var finished: [UInt8] {
        let cursor = self.next > 0 && self.next < self.entries.count ? self.place(self.next - 1).text : nil
        if self.isTable {
            let notes = pageNotes(listed: self.next, total: self.total, next: cursor, missing: self.missing)
            return Array((self.table.text + notes.map { "# \($0)\n" }.joined()).utf8)
        }
        var page = JSONWriter()
        page.object {
            $0.field("resources", raw: [UInt8(ascii: "[")] + self.json + [UInt8(ascii: "]")])
            $0.page(total: self.total, next: cursor, missing: self.missing)
        }
        return page.bytes + [UInt8(ascii: "\n")]
    }
}
