import Testing
import WeirBase
import WeirXDS

@testable import WeirEngine

@Suite struct HomeSnapshotTests {
    private func load(_ h: HomeHarness, _ version: String, _ resources: [(XDSType, String)]) {
        let files = resources.map { type, text in
            SnapshotResource(
                typeURL: type.typeURL, name: String(text.prefix { $0 != "@" }), any: HomeHarness.any(type, text))
        }
        self.apply(h, Snapshot(files, version: version))
    }

    private func apply(_ h: HomeHarness, _ snapshot: Snapshot) {
        h.group.apply(snapshot, from: "files", now: h.now, wall: WallTime(rawValue: 0))
        h.collect()
    }

    @Test("a wish before the first load is answered by it; a wish after it at once, and nothing goes upstream")
    func wishes() {
        let h = HomeHarness(nil)
        h.join()
        h.want(.cds, wildcard: true)
        #expect(h.takeUpdates() == [])
        self.load(h, "v1", [(.cds, "a@1"), (.eds, "a@1"), (.eds, "b@1")])
        #expect(h.takeUpdates() == ["a@1"])
        h.want(.eds, ["b", "zz"])
        #expect(h.takeUpdates() == ["'b@1 '-zz"])
        h.want(.eds, ["a"])
        #expect(h.takeUpdates() == ["'a@1"])
        #expect(h.opened == [])
        #expect(h.takeRequests() == [])
        #expect(h.states.last == OriginState(isConnected: true, server: "files", lastError: ""))
    }

    @Test("AGG-21 ORD-01 a load replaces a type in one update; clusters and endpoints that are gone go last")
    func atomic() {
        let h = HomeHarness(nil)
        h.join()
        h.want(.cds, wildcard: true)
        h.want(.eds, ["a", "b"])
        self.load(h, "v1", [(.cds, "a@1"), (.cds, "b@1"), (.eds, "a@1"), (.eds, "b@1")])
        _ = h.takeUpdates()
        self.load(h, "v2", [(.cds, "b@2"), (.cds, "c@1"), (.eds, "b@1")])
        #expect(h.takeUpdates() == ["b@2 c@1", "-a", "'-a"])
        h.want(.lds, wildcard: true)
        self.load(h, "v3", [(.cds, "b@2"), (.lds, "a@1"), (.lds, "b@1")])
        #expect(h.takeUpdates().filter { $0 != "" } == ["a@1 b@1", "-c", "'-b"])
        self.load(h, "v4", [(.lds, "b@2"), (.lds, "c@1")])
        #expect(h.takeUpdates().filter { $0 != "" } == ["b@2 c@1 -a", "-b"])
    }

    @Test("AGG-09 unchanged content publishes nothing, whatever the load is called")
    func unchanged() {
        let h = HomeHarness(nil)
        h.join()
        h.want(.cds, wildcard: true)
        self.load(h, "v1", [(.cds, "a@1")])
        let first = h.takeVersions()
        self.load(h, "v1", [(.cds, "a@1")])
        #expect(h.takeUpdates() == [])
        self.load(h, "v2", [(.cds, "a@1")])
        #expect(h.takeUpdates().filter { $0 != "" } == [])
        self.load(h, "v3", [(.cds, "a@2")])
        self.load(h, "v4", [(.cds, "a@1")])
        #expect(h.takeVersions() == first)
    }

    @Test("an empty load is knowledge: the wildcard is empty, names do not exist")
    func empty() {
        let h = HomeHarness(nil)
        h.join()
        h.want(.cds, wildcard: true)
        h.want(.eds, ["a"])
        self.load(h, "v1", [])
        #expect(h.takeUpdates() == ["", "'-a"])
    }

    @Test("a type of which a snapshot says nothing is waited for; what is said later answers it")
    func part() {
        let h = HomeHarness(nil)
        h.join()
        h.want(.cds, wildcard: true)
        h.want(.lds, wildcard: true)
        var part = Snapshot()
        let cluster = SnapshotResource(typeURL: XDSType.cds.typeURL, name: "a", any: HomeHarness.any(.cds, "a@1"))
        part.set([cluster], ofType: XDSType.cds.typeURL, version: "1")
        self.apply(h, part)
        #expect(h.takeUpdates() == ["a@1"])
        part.set([], ofType: XDSType.lds.typeURL)
        self.apply(h, part)
        #expect(h.takeUpdates().filter { $0 != "" } == [])
        h.join(1)
        h.want(.lds, wildcard: true, worker: 1)
        #expect(h.takeUpdates() == [""])
    }

    @Test("a snapshot that is removed takes nothing from clients, and answers nobody who asks for something else")
    func removed() {
        let h = HomeHarness(nil)
        h.join()
        h.want(.cds, wildcard: true)
        self.load(h, "v1", [(.cds, "a@1"), (.eds, "a@1")])
        _ = h.takeUpdates()
        h.group.forgetSnapshot(of: "http", reason: "it was removed")
        h.collect()
        #expect(h.states.last == OriginState(isConnected: false, server: "http", lastError: "it was removed"))
        h.want(.eds, ["a"])
        #expect(h.takeUpdates() == [])
        self.load(h, "v2", [(.cds, "a@1"), (.eds, "a@2")])
        #expect(h.takeUpdates().filter { $0 != "" } == ["'a@2"])
    }

    @Test("AGG-07 what nobody wants is dropped after the linger and answered from memory when it is wanted again")
    func linger() {
        let h = HomeHarness(nil)
        h.join()
        h.want(.eds, ["a"])
        self.load(h, "v1", [(.eds, "a@1")])
        h.leave()
        h.advance(.seconds(3))
        #expect(h.isIdle)
        _ = h.takeUpdates()
        h.join()
        h.want(.eds, ["a"])
        #expect(h.takeUpdates() == ["'a@1"])
    }
}
