import Testing
import WeirBase
import WeirXDS

@testable import WeirEngine

@Suite struct HomeDeltaTests {
    private func wildcard() -> HomeHarness {
        let h = HomeHarness(.delta)
        h.join()
        h.want(.cds, wildcard: true)
        h.open()
        _ = h.takeRequests()
        return h
    }

    @Test("UP-01 UP-14 the first request of a stream carries the node, no other does; a wildcard is an empty list")
    func node() {
        let h = HomeHarness(.delta)
        h.join()
        h.want(.cds, wildcard: true)
        h.want(.eds, ["a"])
        h.open()
        #expect(h.takeRequests() == ["0 node cds", "0 eds +a"])
        h.delta(.cds, "n1", ["a@1"])
        #expect(h.takeRequests() == ["0 cds n=n1"])
    }

    @Test("UP-14 NAME-15 a wildcard is explicit where an empty list means nothing, and after names")
    func explicitWildcard() {
        let h = HomeHarness(.delta)
        h.join()
        h.want(.eds, wildcard: true)
        h.want(.cds, ["x"])
        h.open()
        #expect(h.takeRequests() == ["0 node cds +x", "0 eds +*"])
        h.want(.cds, removing: ["x"])
        h.advance(.seconds(3))
        h.want(.cds, wildcard: true)
        #expect(h.takeRequests() == ["0 cds -x", "0 cds +*"])
    }

    @Test("UP-02 UP-03 each response is answered with its nonce, a bad one with the error")
    func acknowledgement() {
        let h = self.wildcard()
        h.delta(.cds, "n1", ["a@1"])
        h.delta(.cds, "n2", ["a@1"])
        h.delta(.cds, "n3", ["b@1", "b@2"])
        #expect(h.takeRequests() == ["0 cds n=n1", "0 cds n=n2", "0 cds n=n3 NACK"])
    }

    @Test("UP-05 UP-06 one bad entry costs that entry, and what is cached of it stays")
    func badEntries() {
        let bad: [(raw: [[UInt8]], removed: [String])] = [
            ([HomeHarness.envelope("b", "2", HomeHarness.any(.eds, "b@2"))], []),
            ([HomeHarness.envelope("b", "2", HomeHarness.any(.cds, "b@2"))], ["b"]),
            ([HomeHarness.envelope("", "2", HomeHarness.any(.cds, "b@2"))], []),
            ([[0x12, 0x7F]], []),
            ([HomeHarness.envelope("b", "2", [0xFF])], []),
        ]
        for entry in bad {
            let h = self.wildcard()
            h.delta(.cds, "n1", ["a@1", "b@1"])
            _ = h.takeUpdates()
            _ = h.takeRequests()
            h.delta(.cds, "n2", ["a@2"], removed: entry.removed, raw: entry.raw)
            #expect(h.takeRequests() == ["0 cds n=n2 NACK"])
            #expect(h.takeUpdates() == ["a@2"])
            #expect(h.group.openStreams == 1)
        }
    }

    @Test("UP-04 AGG-15 AGG-22 names, versions, aliases and unknown fields pass through")
    func passThrough() {
        let h = self.wildcard()
        let extras: [UInt8] = [0x22, 0x01, 0x78, 0x4A, 0x02, 0x08, 0x01, 0x98, 0x06, 0x07]
        h.delta(.cds, "n1", raw: [HomeHarness.envelope("a", "ver", HomeHarness.any(.cds, "a@1")) + extras])
        let resource = h.group.resources(typeURL: XDSType.cds.typeURL).first
        #expect(resource?.version == "ver")
        #expect(resource?.aliases == ["x"])
        let encoded = resource?.encoded ?? []
        #expect(encoded.count > extras.count)
        #expect((0...(encoded.count - extras.count)).contains { Array(encoded[$0..<$0 + extras.count]) == extras })
    }

    @Test(
        "UP-08 AGG-17 a wildcard that ended unanswered begins again on a new stream, for the answer may be on its way",
        arguments: [false, true])
    func wildcardAgain(wasAnswered: Bool) {
        let h = HomeHarness(.delta)
        h.join()
        h.want(.eds, ["e"])
        h.want(.lds, wildcard: true)
        h.open()
        if wasAnswered { h.delta(.lds, "n1", ["a@1"]) }
        h.want(.lds, wildcard: false)
        h.advance(.seconds(2))
        #expect(h.closed == [])
        h.want(.lds, wildcard: true)
        #expect(h.closed == (wasAnswered ? [] : [0]))
    }

    @Test("UP-08 a new stream is told the names and the versions held, as the server last called them")
    func reconnect() {
        let h = self.wildcard()
        h.want(.eds, ["e", "f"])
        h.delta(.cds, "n1", ["a@1", "b@1"])
        h.delta(.cds, "n2", ["a@2", "b@5=1"], removed: [])
        h.delta(.eds, "n1", ["e@1", "f@1"])
        h.delta(.eds, "n2", removed: ["f"])
        h.lose()
        _ = h.takeRequests()
        h.open()
        #expect(h.takeRequests() == ["0 node cds irv=a@2,b@5", "0 eds +e,f irv=e@1"])
    }

    @Test("UP-09 another server is told no versions; what it does not have goes once it has answered")
    func otherServer() {
        let h = self.wildcard()
        h.delta(.cds, "n1", ["a@1", "b@1", "c@1"])
        h.lose()
        _ = h.takeRequests()
        _ = h.takeUpdates()
        h.open(server: "two")
        #expect(h.takeRequests() == ["0 node cds"])
        h.advance(.seconds(60))
        #expect(h.takeUpdates() == [])
        h.delta(.cds, "n1", ["a@1=2"])
        h.advance(.milliseconds(400))
        h.delta(.cds, "n2", ["b@1"])
        #expect(h.takeUpdates().filter { $0 != "" } == ["a@2"])
        h.advance(.milliseconds(500))
        #expect(h.takeUpdates() == ["-c"])
    }

    @Test("AGG-09 AGG-10 a server that honours what it is told deletes by name only")
    func honoured() {
        let h = self.wildcard()
        h.delta(.cds, "n1", ["a@1", "b@1", "c@1"])
        h.lose()
        h.open()
        _ = h.takeUpdates()
        h.delta(.cds, "n1", ["b@2"], removed: ["c"])
        h.advance(.seconds(10))
        #expect(h.takeUpdates() == ["b@2 -c"])
    }

    @Test("AGG-10 a server that sends everything again has ignored it; what it leaves out is gone")
    func ignored() {
        let h = self.wildcard()
        h.delta(.cds, "n1", ["a@1", "b@1", "c@1"])
        h.lose()
        h.open()
        _ = h.takeUpdates()
        h.delta(.cds, "n1", ["a@1", "b@2"])
        #expect(h.takeUpdates() == ["b@2"])
        h.advance(.seconds(1))
        #expect(h.takeUpdates() == ["-c"])
    }

    @Test("AGG-10 what another server sent of a full answer that was cut off is no more kept than the rest")
    func cutOffAnswer() {
        let h = self.wildcard()
        h.delta(.cds, "n1", ["a@1", "keep@1"])
        h.lose()
        h.open(server: "two")
        h.delta(.cds, "n1", ["a@1"])
        h.lose()
        _ = h.takeRequests()
        _ = h.takeUpdates()
        h.open(server: "two")
        #expect(h.takeRequests() == ["0 node cds"])
        // It lost `a` meanwhile, and would ignore what it is told.
        h.delta(.cds, "n1", ["keep@1"])
        h.advance(.seconds(1))
        #expect(h.takeUpdates() == ["-a"])
    }

    @Test("AGG-10 a stream that ends within a full answer deletes nothing")
    func lostWithinAnswer() {
        let h = self.wildcard()
        h.delta(.cds, "n1", ["a@1", "b@1"])
        h.lose()
        h.open(server: "two")
        h.delta(.cds, "n1", ["a@1"])
        h.lose()
        _ = h.takeUpdates()
        h.advance(.seconds(10))
        #expect(h.takeUpdates() == [])
    }

    @Test("UP-12 DELTA-08 a name is absent when the server says so, or says nothing for 15 s on a connected stream")
    func doesNotExist() {
        let h = HomeHarness(.delta)
        h.join()
        h.want(.eds, ["a", "b"])
        h.advance(.seconds(40))
        h.open()
        h.delta(.eds, "n1", removed: ["a"])
        #expect(h.takeUpdates() == ["'-a"])
        h.advance(.seconds(15))
        #expect(h.takeUpdates() == ["'-b"])
        h.delta(.eds, "n2", ["a@1"])
        #expect(h.takeUpdates() == ["'a@1"])
    }

    @Test("UP-13 requests that change the interest carry no nonce")
    func noNonce() {
        let h = HomeHarness(.delta)
        h.join()
        h.want(.eds, ["a"])
        h.open()
        h.delta(.eds, "n1", ["a@1"])
        _ = h.takeRequests()
        h.want(.eds, ["b"])
        h.want(.eds, removing: ["a"])
        h.advance(.seconds(3))
        h.advance(.milliseconds(20))
        #expect(h.takeRequests() == ["0 eds +b", "0 eds -a"])
    }

    @Test("UP-02 UP-17 a late response for a type that was given up is answered; one never asked for is not")
    func lateResponse() {
        let h = self.wildcard()
        h.want(.eds, ["a"])
        h.want(.eds, removing: ["a"])
        h.advance(.seconds(3))
        _ = h.takeRequests()
        h.delta(.eds, "n1", ["a@1"])
        h.delta(.rtds, "n1", ["a@1"])
        #expect(h.takeRequests() == ["0 eds n=n1"])
        #expect(h.takeUpdates() == [])
    }

    @Test("UP-16 changes of interest within a tick go upstream as one")
    func coalescing() {
        let h = HomeHarness(.delta)
        h.join()
        h.want(.eds, ["seed"])
        h.open()
        h.want(.eds, ["first"])
        _ = h.takeRequests()
        for i in 0..<200 { h.wantSoon(.eds, ["n\(i)"]) }
        h.advance(.milliseconds(20))
        let requests = h.takeRequests()
        #expect(requests.count <= 2)
        let names = requests.flatMap { $0.split(separator: "+").last?.split(separator: ",") ?? [] }
        #expect(Set(names).count == 200 && names.count == 200)
    }

    @Test("UP-15 the end of a wildcard is said, and never becomes a request for everything")
    func endOfWildcard() {
        let h = self.wildcard()
        h.want(.eds, ["e"])
        h.delta(.cds, "n1", ["a@1"])
        _ = h.takeRequests()
        _ = h.takeUpdates()
        h.want(.cds, wildcard: false)
        h.advance(.seconds(3))
        #expect(h.takeRequests() == ["0 cds -*"])
        h.lose()
        h.open()
        #expect(h.takeRequests() == ["0 node eds +e"])
    }

    @Test("AGG-07 a name that is wanted again before the server heard that it was not is asked for anew")
    func lingerMoment() {
        let h = HomeHarness(.delta) { $0.interestTick = .seconds(10) }
        h.join()
        h.want(.eds, ["a", "b"])
        h.open()
        h.delta(.eds, "n1", ["a@1", "b@1"])
        h.advance(.seconds(11))
        h.wantSoon(.eds, ["c"])
        _ = h.takeRequests()
        h.wantSoon(.eds, removing: ["a"])
        h.advance(.seconds(3))
        h.wantSoon(.eds, ["a"])
        h.advance(.seconds(10))
        #expect(h.takeRequests() == ["0 eds -a", "0 eds +a"])
    }

    @Test("UP-18 a group that changes to SotW asks for everything without a version")
    func otherVariant() {
        let h = self.wildcard()
        h.delta(.cds, "n1", ["a@1", "b@1"])
        h.lose()
        _ = h.takeRequests()
        _ = h.takeUpdates()
        h.group.setVariant(.sotw)
        h.open()
        #expect(h.takeRequests() == ["0 node cds v= n= []"])
        h.sotw(.cds, "7", "n1", ["a@1"])
        #expect(h.takeUpdates() == ["-b"])
    }

    @Test("AGG-08 AGG-18 AGG-06 what is known is told to another worker while the upstream is away")
    func lost() {
        let h = HomeHarness(.delta)
        h.join(0)
        h.want(.eds, ["a", "zz"])
        h.open()
        h.delta(.eds, "n1", ["a@1"], removed: ["zz"])
        h.lose()
        h.advance(.seconds(60))
        _ = h.takeUpdates()
        h.join(1)
        h.want(.eds, ["zz", "a"], worker: 1)
        #expect(h.takeUpdates(workers: 2) == ["'a@1 '-zz"])
    }

    @Test("AGG-17 names beside a wildcard go on a stream of their own, and a removal there is none of the wildcard")
    func lanes() {
        let h = self.wildcard()
        h.want(.cds, ["a", "x"])
        h.open(1)
        #expect(h.takeRequests() == ["1 node cds +a,x"])
        h.delta(.cds, "n1", ["a@1"], on: 0)
        h.delta(.cds, "n1", ["a@1"], removed: ["x"], on: 1)
        #expect(h.takeUpdates() == ["a@1", "'a@1 '-x"])
        h.delta(.cds, "n2", removed: ["a"], on: 1)
        #expect(h.takeUpdates() == ["'-a"])
        #expect(h.group.resources(typeURL: XDSType.cds.typeURL).map(\.name) == ["a"])
    }

    @Test("AGG-21 DELTA-01 one response is one update, an empty first one too")
    func atomic() {
        let h = self.wildcard()
        h.delta(.cds, "n1")
        #expect(h.takeUpdates() == [""])
        h.delta(.cds, "n2", (0..<100).map { "a\($0)@1" })
        #expect(h.takeUpdates().count == 1)
        h.delta(.cds, "n3", (0..<50).map { "b\($0)@1" }, removed: (0..<100).map { "a\($0)" })
        #expect(h.takeUpdates().map { $0.split(separator: " ").count } == [150])
    }

    @Test("ORD-04 all types of a group come on one aggregated stream", arguments: ProtocolVariant.allCases)
    func oneStream(_ variant: ProtocolVariant) {
        let h = HomeHarness(variant)
        h.join()
        for type in [XDSType.cds, .lds] { h.want(type, wildcard: true) }
        for type in [XDSType.eds, .rds] { h.want(type, ["a"]) }
        #expect(h.opened == [0])
    }

    @Test("TTL-02 a heartbeat replaces nothing")
    func heartbeat() {
        let h = self.wildcard()
        h.delta(.cds, "n1", raw: [HomeHarness.envelope("a", "1", HomeHarness.any(.cds, "a@1"), ttl: true)])
        _ = h.takeUpdates()
        h.delta(.cds, "n2", raw: [HomeHarness.envelope("a", "1", nil, ttl: true)])
        #expect(h.takeUpdates().filter { $0 != "" } == ["a@1"])
        #expect(h.group.resources(typeURL: XDSType.cds.typeURL).map(HomeHarness.content) == [1])
    }
}
