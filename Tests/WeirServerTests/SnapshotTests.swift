import Testing
import WeirBase
import WeirEngine
import WeirHTTP1
import WeirXDS

@testable import WeirServer
@testable import WeirStore

private func resource(_ type: XDSType, _ name: String, _ content: UInt8 = 1) -> SnapshotResource {
    var any = WireWriter()
    any.string(1, type.typeURL)
    any.message(2, [0x0A, 1, content])
    return SnapshotResource(typeURL: type.typeURL, name: name, any: any.bytes)
}

@Suite("Paths of snapshots")
struct SnapshotPathTests {
    @Test(
        "keys and types are taken out of a path as it was sent",
        arguments: [
            ("/v1/snapshots", SnapshotPath.list), ("/v1/snapshots/", .list), ("/v1/snapshots/web", .key("web")),
            ("/v1/snapshots/edge%2Feu", .key("edge/eu")), ("/v1/snapshots/a%252Fb", .key("a%2Fb")),
            ("/v1/snapshots/a/cds", .type("a", typeURL: XDSType.cds.typeURL)),
            ("/v1/snapshots/a/type.googleapis.com%2Fx.Y", .type("a", typeURL: "type.googleapis.com/x.Y")),
        ])
    func paths(raw: String, expected: SnapshotPath) throws { #expect(try SnapshotPath(raw) == expected) }

    @Test(
        "what is no such path is told", arguments: ["/", "/v1/snapshotsx", "/v1/snapshots/a/b/c", "/v1/snapshots/a/x"])
    func none(raw: String) {
        let error = #expect(throws: SnapshotError.self) { try SnapshotPath(raw) }
        #expect(error?.status == 404)
    }

    @Test("a key has a bound")
    func bound() {
        let key = String(repeating: "k", count: SnapshotPath.keyBytesMax)
        #expect(throws: Never.self) { try SnapshotPath("/v1/snapshots/\(key)") }
        #expect(throws: SnapshotError.self) { try SnapshotPath("/v1/snapshots/\(key)k") }
        #expect(throws: SnapshotError.self) { try SnapshotPath("/v1/snapshots//cds") }
    }
}

@Suite("Changes of snapshots")
struct SnapshotChangeTests {
    private func change(_ old: Snapshot?, _ new: Snapshot?, type: XDSType? = nil) -> SnapshotChange {
        var change = SnapshotChange(key: "web", typeURL: type?.typeURL, isDryRun: false)
        change.old = old
        change.new = new
        return change
    }

    @Test("what becomes of a key, or of a type of it, is told apart")
    func outcomes() {
        let one = Snapshot([resource(.cds, "a")], version: "1")
        let two = Snapshot([resource(.cds, "a")], version: "2")
        var part = Snapshot()
        part.set([], ofType: XDSType.cds.typeURL)
        #expect(self.change(nil, one).outcome == .created)
        #expect(self.change(one, two).outcome == .replaced)
        #expect(self.change(one, one).outcome == .unchanged)
        #expect(self.change(one, nil).outcome == .removed)
        #expect(self.change(nil, part, type: .cds).outcome == .created)
        var more = part
        more.set([], ofType: XDSType.lds.typeURL)
        #expect(self.change(part, more, type: .lds).outcome == .created)
        #expect(self.change(more, part, type: .lds).outcome == .removed)
    }

    @Test("differences name what comes, changes and goes, the first hundred of each")
    func differences() {
        let old = Snapshot((0..<300).map { resource(.cds, "c\($0)") } + [resource(.eds, "e", 1)])
        let new = Snapshot([resource(.cds, "c0"), resource(.eds, "e", 2), resource(.lds, "l")])
        let types = SnapshotDifference(from: old, to: new).types
        #expect(types.map(\.removed.count) == [299, 0, 0])
        #expect(types.map(\.changed) == [[], ["e"], []])
        #expect(types.map(\.added) == [[], [], ["l"]])
        var json = JSONWriter()
        json.object { SnapshotDifference(from: old, to: new).write(to: &$0) }
        #expect(String(decoding: json.bytes, as: UTF8.self).contains("\"names_left_out\":199"))
    }
}

@Suite("Snapshots in the store")
struct SnapshotStoreTests {
    private static let group = StoreGroup(upstream: "push", key: "web")
    private static let now = Instant(rawValue: 1)
    private static let wall = WallTime(rawValue: 1)

    private func changes(
        _ new: Snapshot?, from old: Snapshot?, stored: Set<String> = [], keepsSecrets: Bool = true
    ) -> [StoreChange] {
        StoreMapping.changes(
            to: new, from: old, of: Self.group, storedTypes: stored, keepsSecrets: keepsSecrets, now: Self.now,
            wall: Self.wall)
    }

    /// What would be read back after everything was written to an empty store.
    private func readBack(_ snapshot: Snapshot, keepsSecrets: Bool = true) -> Snapshot {
        let types = self.changes(snapshot, from: nil, keepsSecrets: keepsSecrets).compactMap { change -> StoredType? in
            guard let record = change.record else { return nil }
            let resources = change.resources.compactMap { entry -> ResourceRecord? in
                if case .put(let record) = entry { record } else { nil }
            }
            return StoredType(typeURL: change.key.typeURL, record: record, resources: resources)
        }
        return StoreMapping.snapshot(types, now: Self.now, wall: Self.wall)
    }

    @Test("what is stored is read back as it was: whole or by types, with versions, and with what is not known")
    func roundTrip() {
        let whole = Snapshot([resource(.cds, "a"), resource(.cds, "b"), resource(.sds, "s")], version: "7")
        #expect(self.readBack(whole).digest == whole.digest)
        var part = Snapshot()
        part.set([resource(.cds, "a")], ofType: XDSType.cds.typeURL, version: "3")
        part.set([], ofType: XDSType.lds.typeURL)
        #expect(self.readBack(part).digest == part.digest)
        #expect(self.readBack(Snapshot([], version: "0")).digest == Snapshot([], version: "0").digest)
        var forgotten = whole
        forgotten.forget(typeURL: XDSType.cds.typeURL)
        #expect(self.readBack(forgotten).digest == forgotten.digest)
        // Secrets that are not stored are not known afterwards, which is not the same as gone.
        let without = self.readBack(whole, keepsSecrets: false)
        #expect(without.content(ofType: XDSType.sds.typeURL) == nil)
        #expect(without.content(ofType: XDSType.lds.typeURL)?.resources.isEmpty == true)
    }

    @Test("of a change only what differs is written, and what is not there any more goes")
    func differences() {
        let old = Snapshot([resource(.cds, "a"), resource(.cds, "b"), resource(.eds, "e")], version: "1")
        var new = old
        new.set([resource(.cds, "a"), resource(.cds, "c")], ofType: XDSType.cds.typeURL, version: "2")
        new.forget(typeURL: XDSType.eds.typeURL)
        let stored = [XDSType.cds.typeURL, XDSType.eds.typeURL, StoreMapping.wholeSnapshot]
        let changes = self.changes(new, from: old, stored: Set(stored))
        #expect(changes.map(\.key.typeURL) == [stored[1], stored[0], stored[2]])
        #expect(changes.map(\.isRemoval) == [true, false, false])
        #expect(changes[1].resources.count == 2 && !changes[1].replacesWildcard)
        #expect(self.changes(old, from: old, stored: Set(stored)).map(\.key.typeURL) == [stored[2]])
        #expect(self.changes(nil, from: old, stored: Set(stored)).allSatisfy { $0.isRemoval })
        // Where it is not known what is stored, all of it is replaced.
        #expect(self.changes(old, from: nil, stored: Set(stored)).filter(\.replacesWildcard).count == 2)
    }
}
