import Testing
import WeirBase
import WeirXDS

@testable import WeirEngine

/// What homes tell of pushes.
struct PushReportTests {
    private func reports(_ h: HomeHarness) -> [PushReport] {
        h.records.compactMap { if case .new(let report) = $0 { report } else { nil } }
    }

    private func text(_ h: HomeHarness) -> [String] {
        h.records.map { news in
            switch news {
            case .new(let report): "\(report.version) \(report.outcome.text)"
            case .amended(_, _, _, let outcome, _, _): "amended \(outcome.text)"
            }
        }
    }

    @Test("each response is told of with an id of its own, which its update has too")
    func responses() {
        let h = HomeHarness(.sotw)
        h.join()
        h.want(.cds, wildcard: true)
        h.open()
        h.sotw(.cds, "1", "n1", ["a@1"])
        h.sotw(.cds, "2", "n2", ["a@2"])
        h.sotw(.cds, "3", "n3", ["a@2"])
        #expect(self.text(h) == ["1 sent", "2 sent", "3 unchanged"])
        let reports = self.reports(h)
        #expect(reports.map(\.workers) == [1, 1, 1] || reports.map(\.workers) == [1, 1, 0])
        #expect(Set(reports.map(\.id)).count == 3 && reports.map(\.id) == reports.map(\.id).sorted())
        #expect(reports.map(\.server) == ["one", "one", "one"] && reports.map(\.sequence) == [1, 2, 3])
        let pushes = h.takePushes()
        #expect(pushes.prefix(2).elementsEqual(reports.prefix(2).map(\.id)))
        #expect(reports[1].before.count == 1)
    }

    @Test("a rejected response says why, and what of it is used")
    func rejected() {
        let h = HomeHarness(.delta)
        h.join()
        h.want(.cds, wildcard: true)
        h.open()
        h.delta(.cds, "1", ["a@1"], raw: [[0xFF]])
        #expect(self.text(h).count == 1 && self.reports(h)[0].outcome == .rejected)
        #expect(!self.reports(h)[0].detail.isEmpty)
    }

    @Test("names that nobody wants any more are no push")
    func givenUp() {
        let h = HomeHarness(.delta)
        h.join()
        h.want(.eds, ["a"])
        h.open()
        h.delta(.eds, "1", ["a@1"])
        let before = h.records.count
        h.want(.eds, removing: ["a"])
        h.advance(.seconds(3))
        #expect(h.records.count == before)
    }

    @Test("a worker that begins to follow later hears of no push")
    func latecomers() {
        let h = HomeHarness(.sotw)
        h.join()
        h.want(.cds, wildcard: true)
        h.open()
        h.sotw(.cds, "1", "n1", ["a@1"])
        _ = h.takeUpdates()
        h.join(1)
        h.want(.cds, wildcard: true, worker: 1)
        #expect(h.takePushes() == [.none] && h.records.count == 1)
    }

    @Test("what is held is told when it comes, and once more when clients get it")
    func held() throws {
        let h = HomeHarness(.sotw)
        h.join()
        h.want(.cds, wildcard: true)
        h.open()
        h.sotw(.cds, "1", "n1", (0..<10).map { "c\($0)@1" })
        _ = h.takeUpdates()
        h.sotw(.cds, "2", "n2", [])
        #expect(self.text(h).last == "2 held_empty" && h.takeUpdates().isEmpty)
        #expect(self.reports(h).last?.workers == 0 && self.reports(h).last?.changes.count == 10)
        try h.group.release(typeURL: XDSType.cds.typeURL, by: "me", now: h.now, wall: WallTime(rawValue: 0))
        h.collect()
        #expect(self.text(h).last == "2 released")
        let release = try #require(self.reports(h).last)
        #expect(release.workers == 1 && !release.isUpstreamState && release.changes.count == 10)
        #expect(h.takePushes() == [release.id])
    }

    @Test("a rollback is told of with the version that clients go back to")
    func rolledBack() throws {
        let h = HomeHarness(.sotw)
        h.join()
        h.want(.cds, wildcard: true)
        h.open()
        h.sotw(.cds, "1", "n1", ["a@1"])
        h.sotw(.cds, "2", "n2", ["a@2"])
        _ = try h.group.rollBack(
            typeURL: XDSType.cds.typeURL, to: nil, by: "me", now: h.now, wall: WallTime(rawValue: 0))
        h.collect()
        #expect(self.text(h).last == "1 rolled_back")
        h.sotw(.cds, "3", "n3", ["a@3"])
        #expect(self.text(h).last == "3 held_operator")
    }
}

struct LiveEventTests {
    @Test("a filter passes what has all that it names")
    func filters() {
        let event = LiveEvent(.ack, at: WallTime(rawValue: 0), key: "k", node: "n", type: .cds)
        #expect(EventFilter().matches(event))
        #expect(EventFilter(key: "k", node: "n", typeURL: XDSType.cds.typeURL, kinds: [.ack, .nack]).matches(event))
        #expect(!EventFilter(key: "x").matches(event) && !EventFilter(node: "x").matches(event))
        #expect(
            !EventFilter(typeURL: XDSType.eds.typeURL).matches(event) && !EventFilter(kinds: [.nack]).matches(event))
        let other = LiveEvent(.upstream, at: WallTime(rawValue: 0), key: "k")
        #expect(!EventFilter(node: "n").matches(other) && !EventFilter(typeURL: "t").matches(other))
        let interest = EventInterest([EventFilter(key: "k", node: "m"), EventFilter(kinds: [.nack])])
        #expect(interest.wants(.ack, key: "k", type: .cds) && !interest.wants(.ack, key: "x", type: .cds))
        #expect(!interest.wants(event) && interest.wants(.nack, key: "x", type: nil))
    }

    @Test("an event is one line of data, whatever stands in it")
    func text() {
        let event = LiveEvent(
            .nack, at: WallTime(rawValue: 0), key: "k", node: "n\n\u{1B}[2J\u{85}", type: .cds, version: "1",
            nonce: "w0000001", push: PushID(rawValue: 10), detail: "a\r\ndata: x")
        let text = String(decoding: event.serverSentEvent, as: UTF8.self)
        #expect(
            text == "event: nack\ndata: {\"at\":\"1970-01-01T00:00:00.000Z\",\"key\":\"k\","
                + "\"node\":\"n\\n\\u001b[2J\\u0085\",\"type\":\"cds\",\"version\":\"1\",\"nonce\":\"w0000001\","
                + "\"push\":\"000000000000000a\",\"detail\":\"a\\r\\ndata: x\"}\n\n")
        let long = LiveEvent(.ack, at: WallTime(rawValue: 0), detail: String(repeating: "x", count: 100_000))
        #expect(long.serverSentEvent.count < 1_200)
        let dropped = String(decoding: LiveEvent.dropped(7, at: WallTime(rawValue: 0)), as: UTF8.self)
        #expect(dropped.hasPrefix("event: dropped\n") && dropped.contains("\"count\":7"))
    }
}
