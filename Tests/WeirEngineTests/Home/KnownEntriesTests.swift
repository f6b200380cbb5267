import Testing
import WeirBase
import WeirXDS

@testable import WeirEngine

/// What a SotW server says again and again is not read again; nothing else may differ.
@Suite struct KnownEntriesTests {
    /// A group that was told `a@1`, `b@1` and `c@1` often enough to know them.
    private func repeated(_ type: XDSType = .cds) -> HomeHarness {
        let h = HomeHarness(.sotw)
        h.join()
        if type == .cds { h.want(type, wildcard: true) } else { h.want(type, ["a", "b", "c"]) }
        h.open()
        for i in 1...3 { h.sotw(type, "\(i)", "n\(i)", ["a@1", "b@1", "c@1"]) }
        _ = h.takeUpdates()
        _ = h.takeRequests()
        return h
    }

    private func known(_ h: HomeHarness, _ type: XDSType = .cds) -> Int {
        let held = h.group.types[type.typeURL]
        return (held?.wildcard ?? held?.named)?.known.claimed ?? 0
    }

    @Test(
        "UP-02 what is said again, in whatever order, is acknowledged and changes nothing",
        arguments: [XDSType.cds, .eds])
    func again(_ type: XDSType) {
        let h = self.repeated(type)
        h.sotw(type, "4", "n4", ["c@1", "a@1", "b@1"])
        #expect(self.known(h, type) == 3)
        #expect(h.takeRequests() == [type == .cds ? "0 cds v=4 n=n4 []" : "0 eds v=4 n=n4 [a,b,c]"])
        #expect(h.takeUpdates().filter { $0 != "" } == [])
        #expect(h.events.contains { if case .accepted(_, "4", 3, _, _) = $0 { true } else { false } })
    }

    @Test("XLT-01 SOTW-06 what a response leaves out of what it said before is gone")
    func absent() {
        let h = self.repeated()
        h.sotw(.cds, "4", "n4", ["c@1", "a@1"])
        #expect(self.known(h) == 2)
        #expect(h.takeUpdates() == ["-b"])
        h.sotw(.cds, "5", "n5", ["c@1", "a@1", "b@1"])
        #expect(h.takeUpdates() == ["b@1"])
    }

    @Test("UP-05 a resource that changes and changes back is told each time")
    func changes() {
        let h = self.repeated()
        h.sotw(.cds, "4", "n4", ["a@2", "b@1", "c@1"])
        #expect(self.known(h) == 2)
        #expect(h.takeUpdates() == ["a@2"])
        h.sotw(.cds, "5", "n5", ["a@1", "b@1", "c@1"])
        #expect(self.known(h) == 2)
        #expect(h.takeUpdates() == ["a@1"])
    }

    @Test(
        "UP-06 a name that stands twice is rejected, also beside what is known",
        arguments: [["a@1", "b@1", "c@1", "a@2"], ["a@2", "a@1", "b@1", "c@1"], ["a@1", "a@1", "b@1", "c@1"]])
    func twice(_ resources: [String]) {
        let h = self.repeated()
        h.sotw(.cds, "4", "n4", resources)
        #expect(h.takeRequests() == ["0 cds v=3 n=n4 [] NACK"])
        #expect(h.takeUpdates().filter { $0 != "" } == [])
        #expect(h.group.resources(typeURL: XDSType.cds.typeURL).map(\.name) == ["a", "b", "c"])
    }

    @Test("UP-06 entries that cannot be read prove no absence, also beside what is known")
    func unreadable() {
        let h = self.repeated()
        h.sotw(.cds, "4", "n4", ["a@1", "b@1"], raw: [[0xFF]])
        #expect(h.takeRequests() == ["0 cds v=3 n=n4 [] NACK"])
        #expect(h.takeUpdates().filter { $0 != "" } == [])
    }

    @Test("UP-08 an ACK has the names of now, whatever was said before")
    func names() {
        let h = self.repeated(.eds)
        h.want(.eds, ["d"])
        #expect(h.takeRequests() == ["0 eds v=3 n=n3 [a,b,c,d]"])
        h.sotw(.eds, "4", "n4", ["a@1", "b@1", "c@1", "d@1"])
        #expect(h.takeRequests() == ["0 eds v=4 n=n4 [a,b,c,d]"])
        #expect(h.takeUpdates() == ["'d@1"])
    }

    @Test("UP-07 what is known of a lost stream is compared with what the next one says")
    func reconnect() {
        let h = self.repeated()
        h.lose()
        h.open(server: "two")
        h.sotw(.cds, "1", "n1", ["a@1", "c@1"])
        #expect(h.takeUpdates() == ["-b"])
    }
}
