import Testing
import WeirBase
import WeirXDS

@testable import WeirEngine

@Suite struct ShardOrderTests {
    @Test("ORD-05 endpoints are sent again after a changed cluster", arguments: ProtocolVariant.allCases)
    func repush(_ variant: ProtocolVariant) {
        let h = ShardHarness()
        let c = h.open(variant)
        if variant == .sotw { c.request(.cds) } else { c.delta(.cds) }
        h.publish("n", .cds, ["c@1", "d@1"], eds: true)
        c.takeAndAck()
        if variant == .sotw { c.request(.eds, ["c", "d"]) } else { c.delta(.eds, add: ["c", "d"]) }
        h.publish("n", .eds, lane: .named, ["c@1", "d@1"])
        let eds = c.take()
        if variant == .sotw {
            c.request(.eds, ["c", "d"], version: eds[0].version, nonce: eds[0].nonce)
        } else {
            c.delta(.eds, nonce: eds[0].nonce)
        }
        #expect(c.take().isEmpty)
        h.publish("n", .cds, ["c@2"], eds: true)
        let pushed = c.take()
        #expect(pushed.map(\.label) == ["cds", "eds"])
        #expect(pushed[1].resources == (variant == .sotw ? ["c"] : ["c@1"]))
    }

    @Test("ORD-05 endpoints asked for before the clusters are sent again after them")
    func endpointsFirst() {
        let h = ShardHarness()
        let first = h.open(.delta)
        first.delta(.cds)
        first.delta(.eds, add: ["c"])
        h.publish("n", .cds, ["c@1"], eds: true)
        h.publish("n", .eds, lane: .named, ["c@1"])
        first.takeAndAck()
        let c = h.open(.delta)
        c.delta(.eds, add: ["c"])
        #expect(c.takeAndAck().map(\.label) == ["eds"])
        c.delta(.cds)
        #expect(c.takeAndAck().map(\.label) == ["cds", "eds"])
    }

    @Test("ORD-01 answers due in one round go out clusters first")
    func pushOrder() {
        let h = ShardHarness()
        let warm = h.open(.delta)
        for type in [XDSType.lds, .cds] { warm.delta(type) }
        for type in [XDSType.rds, .eds] { warm.delta(type, add: ["r"]) }
        h.settle()
        for type in [XDSType.lds, .cds] { h.publish("n", type, ["r@1"]) }
        for type in [XDSType.rds, .eds] { h.publish("n", type, lane: .named, ["r@1"]) }
        warm.takeAndAck()
        let c = h.open(.delta)
        for type in [XDSType.rds, .eds] { c.delta(type, add: ["r"]) }
        for type in [XDSType.lds, .cds] { c.delta(type) }
        #expect(c.take().map(\.label) == ["cds", "eds", "lds", "rds"])
    }

    @Test("ORD-02 a route never overtakes the cluster that was pushed before it")
    func noOvertaking() {
        let h = ShardHarness()
        let c = h.open(.delta)
        c.delta(.cds)
        c.delta(.rds, add: ["r"])
        h.settle()
        h.publish("n", .cds, ["x@1"])
        h.publish("n", .rds, lane: .named, ["r@1"])
        let first = c.take()
        #expect(first.map(\.label) == ["cds", "rds"])
        c.delta(.rds, nonce: first[1].nonce)  // CDS stays unanswered
        h.publish("n", .cds, ["y@1"])
        #expect(c.take().isEmpty)
        h.publish("n", .rds, lane: .named, ["r@2"])
        #expect(c.take().map { $0.label + $0.resources.joined() } == ["cdsy@1", "rdsr@2"])
    }

    @Test("WIRE-14 nothing is handed to a stream whose bytes are stuck; when they leave it gets the newest state")
    func stuck() {
        let h = ShardHarness()
        let slow = h.open(.delta)
        let fast = h.open(.delta)
        for client in [slow, fast] { client.delta(.cds) }
        h.settle()
        h.publish("n", .cds, ["a@1"])
        slow.takeAndAck()
        fast.takeAndAck()
        h.settle(blocking: [slow.handle])
        h.shard.update(
            group: "n",
            TypeUpdate(
                typeURL: XDSType.cds.typeURL, generation: 2, isFull: false,
                changes: [
                    ResourceChange(
                        lane: .wildcard, name: "a", presence: .present(ShardHarness.resource(.cds, "a", "2", "2")))
                ], wildcardKnown: true, version: "v", passesVersionToSotW: false, receivedAt: Instant(rawValue: 0),
                receivedAtWall: WallTime(rawValue: 0)))
        h.settle(blocking: [slow.handle])
        h.advance(.seconds(60))
        #expect(fast.takeAndAck().map(\.resources) == [["a@2"]])
        #expect(slow.take().map(\.resources) == [["a@2"]])
    }

    @Test("ORD-06 dependent requests are answered without the parent type", arguments: ProtocolVariant.allCases)
    func withoutParents(_ variant: ProtocolVariant) {
        let h = ShardHarness()
        Self.fill(h, [(.eds, .named), (.lds, .wildcard), (.rds, .named)])
        let c = h.open(variant)
        for (type, names) in [(XDSType.eds, ["a"]), (.lds, []), (.rds, ["a"])] {
            if variant == .sotw { c.request(type, names) } else { c.delta(type, add: names) }
            #expect(c.take().map(\.label) == [type.label])
        }
    }

    /// Publishes a and b of each type, which somebody wants.
    private static func fill(_ h: ShardHarness, _ types: [(XDSType, Lane)]) {
        let warm = h.open(.delta)
        for (type, lane) in types { warm.delta(type, add: lane == .named ? ["a", "b"] : []) }
        h.settle()
        for (type, lane) in types { h.publish("n", type, lane: lane, ["a@1", "b@1"]) }
        warm.takeAndAck()
    }

    @Test("ORD-07 of a list of names what exists is sent at once", arguments: ProtocolVariant.allCases)
    func subset(_ variant: ProtocolVariant) {
        for type in [XDSType.eds, .rds] {
            let h = ShardHarness()
            Self.fill(h, [(type, .named)])
            let c = h.open(variant)
            if variant == .sotw { c.request(type, ["a", "zz"]) } else { c.delta(type, add: ["a", "zz"]) }
            #expect(c.take().map(\.resources) == [[variant == .sotw ? "a" : "a@1"]])
        }
    }

    @Test("ORD-08 SOTW-09 routes stay quiet when listeners change, and are sent when asked for again")
    func routesOnDemand() {
        let h = ShardHarness()
        Self.fill(h, [(.lds, .wildcard), (.rds, .named)])
        let c = h.open(.sotw)
        c.request(.lds)
        c.request(.rds, ["a"])
        let first = c.take()
        for response in first {
            let type = XDSType.of(typeURL: response.typeURL)
            c.request(type, type == .rds ? ["a"] : [], version: response.version, nonce: response.nonce)
        }
        h.publish("n", .lds, ["a@2"])
        #expect(c.take().map(\.label) == ["lds"])
        for names in [["b"], ["a", "b"]] {
            let nonce = names == ["b"] ? "w0000001" : "w0000002"
            c.request(.rds, names, version: "v", nonce: nonce)
            let sent = c.take().filter { $0.label == "rds" }
            #expect(sent.map(\.resources) == [names == ["b"] ? ["b"] : ["a"]])
        }
    }

    @Test("ORD-09 of endpoints that are gone SotW clients hear nothing, delta clients a removal")
    func goneEndpoints() {
        let h = ShardHarness()
        let sotw = h.open(.sotw)
        let delta = h.open(.delta)
        sotw.request(.eds, ["gone"])
        delta.delta(.eds, add: ["gone"])
        h.settle()
        h.publish("n", .eds, lane: .named, ["-gone"])
        #expect(sotw.take() == [])
        #expect(delta.take().map(\.removed) == [["gone"]])
    }

    @Test("ORD-10 a type that is never acknowledged holds back no other", arguments: ProtocolVariant.allCases)
    func noWaitingAcrossTypes(_ variant: ProtocolVariant) {
        let h = ShardHarness()
        let c = h.open(variant)
        for (type, names) in [(XDSType.lds, []), (.cds, []), (.eds, ["e"])] {
            if variant == .sotw { c.request(type, names) } else { c.delta(type, add: names) }
        }
        h.settle()
        h.publish("n", .lds, ["l@1"])
        #expect(c.take().map(\.label) == ["lds"])
        h.publish("n", .cds, ["c@1"])
        #expect(c.take().map(\.label) == ["cds"])
        h.publish("n", .eds, lane: .named, ["e@1"])
        #expect(c.take().map(\.label) == ["eds"])
    }

    @Test("ORD-10 a client that reads and does not acknowledge gets newer content of the type after the timeout")
    func ackTimeout() {
        let h = ShardHarness { $0.ackTimeout = .seconds(5) }
        let c = h.open(.sotw)
        c.request(.cds)
        h.settle()
        h.publish("n", .cds, ["c@1"])
        #expect(c.take().count == 1)
        h.publish("n", .cds, ["d@1"])
        h.publish("n", .cds, ["e@1"])
        h.advance(.milliseconds(4900))
        #expect(c.take().isEmpty)
        h.advance(.milliseconds(200))
        #expect(c.take().map { $0.resources.sorted() } == [["c", "d", "e"]])
    }

    @Test("ORD-11 hundreds of requests of one turn make one answer", arguments: ProtocolVariant.allCases)
    func bursts(_ variant: ProtocolVariant) {
        let h = ShardHarness()
        let names = (0..<300).map { "e\($0)" }
        let warm = h.open(.delta)
        warm.delta(.eds, add: names)
        h.settle()
        h.publish("n", .eds, lane: .named, names.map { "\($0)@1" })
        warm.takeAndAck()
        let c = h.open(variant)
        for count in 1...300 {
            if variant == .sotw {
                c.request(.eds, Array(names[..<count]))
            } else {
                c.delta(.eds, add: [names[count - 1]])
            }
        }
        let answers = c.take()
        #expect(answers.count == 1)
        #expect(Set(answers.flatMap(\.resources)).count == 300)
    }
}
