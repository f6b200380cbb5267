import Testing
import WeirBase
import WeirXDS

@testable import WeirEngine

@Suite struct CollectionTests {
    private let dir = "xdstp://x/envoy.config.endpoint.v3.LbEndpoint/foo"

    private func connected(_ names: [String], type: XDSType = .leds) -> (ContentHarness, ContentHarness.Client) {
        let h = ContentHarness(.delta)
        let client = h.connect(.delta)
        client.subscribe(type, names)
        return (h, client)
    }

    @Test("NAME-03 NAME-12 members of a glob collection come and go one by one")
    func members() {
        let (h, client) = self.connected(["c/*"])
        #expect(h.takeUpstream() == ["0 leds +c/*"])
        h.say(.leds, [("c/1", 1, nil), ("c/2", 1, nil)])
        #expect(client.takeAndAck() == ["leds c/1@1 c/2@1"])
        h.say(.leds, "c/2", 2)
        #expect(client.takeAndAck() == ["leds c/2@2"])
        h.respond(.leds, [], removed: ["c/1"])
        #expect(client.takeAndAck() == ["leds -c/1"])
        h.advance(.seconds(20))
        #expect(client.take() == [])
        let late = h.connect(.delta)
        late.subscribe(.leds, ["c/*"])
        #expect(late.take() == ["leds c/2@2"])
    }

    @Test(
        "NAME-03 parameters must be the same, and only the directory itself is matched here, whatever else the server sends"
    )
    func matching() {
        let glob = "\(self.dir)/*?t=1"
        let deep = "\(self.dir)/x/a?t=1"
        let (h, client) = self.connected([glob])
        let other = h.connect(.delta)
        other.subscribe(.leds, [deep, "\(self.dir)/b"])
        h.say(.leds, [("\(self.dir)/a?t=1", 1, nil), ("\(self.dir)/b", 1, nil)])
        #expect(client.takeAndAck() == ["leds \(self.dir)/a?t=1@1"])
        // Asked for by name, it is nobody else's.
        h.say(.leds, deep, 1)
        #expect(client.take() == [])
        // What a server sends that nobody asked for belongs to the collection above.
        h.say(.leds, "\(self.dir)/y/a?t=1", 1)
        #expect(client.takeAndAck() == ["leds \(self.dir)/y/a?t=1@1"])
        let late = h.connect(.delta)
        late.subscribe(.leds, [glob])
        #expect(late.take() == ["leds \(self.dir)/a?t=1@1 \(self.dir)/y/a?t=1@1"])
    }

    @Test("NAME-04 an empty collection is reported by its name, once its last member is gone to joiners only")
    func empty() {
        let (h, client) = self.connected(["c/*"])
        h.respond(.leds, [], removed: ["c/*"])
        #expect(client.takeAndAck() == ["leds -c/*"])
        h.say(.leds, "c/1", 1)
        #expect(client.takeAndAck() == ["leds c/1@1"])
        h.respond(.leds, [], removed: ["c/1"])
        #expect(client.takeAndAck() == ["leds -c/1"])
        let late = h.connect(.delta)
        late.subscribe(.leds, ["c/*"])
        #expect(late.takeAndAck() == ["leds -c/*"])
        h.say(.leds, "c/1", 2)
        #expect(client.takeAndAck() + late.takeAndAck() == ["leds c/1@2", "leds c/1@2"])
    }

    @Test("NAME-04 UP-12 a collection that is not answered counts as empty after 15 s")
    func unanswered() {
        let (h, client) = self.connected(["c/*"])
        h.advance(.seconds(15))
        #expect(client.takeAndAck() == ["leds -c/*"])
        h.say(.leds, "c/1", 1)
        #expect(client.takeAndAck() == ["leds c/1@1"])
    }

    @Test("NAME-05 a member that is asked for by name too comes once, and stays when the collection is given up")
    func overlap() {
        let (h, client) = self.connected(["c/*", "c/a"])
        h.say(.leds, [("c/a", 1, nil), ("c/b", 1, nil)])
        #expect(client.takeAndAck() == ["leds c/a@1 c/b@1"])
        client.unsubscribe(.leds, ["c/*"])
        #expect(client.take() == [])
        h.advance(.seconds(3))
        h.say(.leds, [("c/a", 2, nil), ("c/b", 2, nil)])
        #expect(client.takeAndAck() == ["leds c/a@2"])
        // And the other way round.
        client.subscribe(.leds, ["c/*"])
        #expect(client.takeAndAck() == ["leds c/a@2"])
        h.say(.leds, "c/b", 2)
        #expect(client.takeAndAck() == ["leds c/b@2"])
        // As under a wildcard: it is told what becomes of the name (DELTA-06).
        client.unsubscribe(.leds, ["c/a"])
        #expect(client.takeAndAck() == ["leds c/a@2"])
        h.advance(.seconds(3))
        h.say(.leds, "c/a", 3)
        #expect(client.takeAndAck() == ["leds c/a@3"])
    }

    @Test("NAME-05 two collections, and a wildcard beside a collection")
    func two() {
        let (h, client) = self.connected(["c/*", "c/d/*"])
        h.say(.leds, [("c/a", 1, nil), ("c/d/a", 1, nil)])
        #expect(client.takeAndAck() == ["leds c/a@1 c/d/a@1"])
        client.unsubscribe(.leds, ["c/d/*"])
        h.say(.leds, [("c/a", 2, nil), ("c/d/a", 2, nil)])
        #expect(client.takeAndAck() == ["leds c/a@2"])

        let name = "xdstp://x/envoy.config.cluster.v3.Cluster/foo/a"
        let w = ContentHarness(.delta)
        let wild = w.connect(.delta)
        wild.subscribe(.cds, [])
        wild.subscribe(.cds, ["xdstp://x/envoy.config.cluster.v3.Cluster/foo/*"])
        w.advance(.milliseconds(20))
        w.respond(.cds, [ContentHarness.entry(.cds, name, 1), ContentHarness.entry(.cds, "b", 1)], on: 0)
        w.respond(.cds, [ContentHarness.entry(.cds, name, 1)], on: 1)
        #expect(wild.takeAndAck() == ["cds b@1 \(name)@1"])
        #expect(wild.takeAndAck() == [])
        wild.unsubscribe(.cds, ["*"])
        w.respond(.cds, [ContentHarness.entry(.cds, "b", 2)], on: 0)
        w.respond(.cds, [ContentHarness.entry(.cds, name, 2)], on: 1)
        #expect(wild.takeAndAck().last == "cds \(name)@2")
    }

    @Test("DELTA-05 NAME-03 a collection that is asked for again is sent again")
    func again() {
        let (h, client) = self.connected(["c/*"])
        h.say(.leds, [("c/1", 1, nil), ("c/2", 1, nil)])
        client.takeAndAck()
        client.subscribe(.leds, ["c/*"])
        #expect(client.takeAndAck() == ["leds c/1@1 c/2@1"])
    }

    @Test("DELTA-12 NAME-03 a client that comes back is sent what changed in the collection, and what is gone")
    func resumption() {
        let (h, _) = self.connected(["c/*"])
        h.say(.leds, [("c/1", 1, nil), ("c/2", 2, nil)])
        let back = h.connect(.delta)
        back.subscribe(.leds, ["c/*"], held: ["c/1": "1", "c/2": "1", "c/3": "1", "d/1": "1"])
        #expect(back.take() == ["leds c/2@2 -c/3"])
    }

    @Test("DELTA-06 DELTA-12 NAME-05 a collection given up beside a wildcard on return: its members are told as gone")
    func givenUpBesideWildcard() {
        let folder = "xdstp://x/envoy.config.cluster.v3.Cluster/foo"
        let h = ContentHarness(.delta)
        let back = h.connect(.delta)
        back.subscribe(.cds, ["\(folder)/*"], held: ["\(folder)/a": "1"])
        back.subscribe(.cds, ["*"], remove: ["\(folder)/*"])
        h.advance(.milliseconds(20))
        h.respond(.cds, [ContentHarness.entry(.cds, "b", 1)], on: 1)
        #expect((back.takeAndAck() + back.takeAndAck()).joined(separator: " ").contains("-\(folder)/a"))
    }

    @Test("UP-08 AGG-10 NAME-03 after a reconnection the server is told of the members, and what it leaves out is gone")
    func reconnection() {
        let h = HomeHarness(.delta)
        h.join()
        h.want(.leds, ["c/*"])
        h.open()
        h.delta(.leds, "n1", ["c/1@1", "c/2@1"])
        _ = h.takeRequests()
        _ = h.takeUpdates()
        h.lose()
        h.open()
        #expect(h.takeRequests() == ["0 node leds +c/* irv=c/1@1,c/2@1"])
        h.delta(.leds, "n2", ["c/1@1"])
        h.advance(.milliseconds(500))
        #expect(h.takeUpdates().last == "'-c/2")
    }

    @Test("NAME-05 that a member is gone is told once to those who have the collection, whoever asks for it by name")
    func goneOnce() {
        let (h, client) = self.connected(["c/*"])
        h.say(.leds, [("c/1", 1, nil), ("c/2", 1, nil)])
        client.takeAndAck()
        h.respond(.leds, [], removed: ["c/1"])
        #expect(client.takeAndAck() == ["leds -c/1"])
        let other = h.connect(.delta)
        other.subscribe(.leds, ["c/1"])
        h.advance(.milliseconds(20))
        h.respond(.leds, [], removed: ["c/1"])
        #expect((other.takeAndAck() + other.takeAndAck()).contains("leds -c/1"))
        #expect(client.takeAndAck() == [])
        h.say(.leds, "c/1", 2)
        #expect(client.takeAndAck() == ["leds c/1@2"])
        #expect(other.takeAndAck().contains("leds c/1@2"))
    }

    @Test("NAME-03 DELTA-07 what nobody asks for any more is forgotten, on both sides")
    func forgotten() {
        let (h, client) = self.connected(["c/*", "d/1"])
        h.say(.leds, [("c/1", 1, nil), ("d/1", 1, nil)])
        client.takeAndAck()
        client.unsubscribe(.leds, ["c/*"])
        h.advance(.seconds(3))
        #expect(h.home.resources(typeURL: XDSType.leds.typeURL).map(\.name) == ["d/1"])
        #expect(h.shard.views.compactMap { $0 }.flatMap { $0.entries.filter(\.isInUse).map(\.name) } == ["d/1"])
        // Endpoints that come and go under ever new names leave nothing behind.
        client.subscribe(.leds, ["c/*"])
        for i in 0..<500 {
            h.respond(.leds, [ContentHarness.entry(.leds, "c/\(i)", 1)], removed: i > 0 ? ["c/\(i - 1)"] : [])
            client.takeAndAck()
        }
        #expect(h.shard.views.compactMap { $0 }.flatMap { $0.entries.filter(\.isInUse) }.count < 100)
        #expect(h.home.resources(typeURL: XDSType.leds.typeURL).map(\.name) == ["c/499", "d/1"])
    }

    @Test("NAME-06 list collections and redirects are relayed as they are, and nobody follows them")
    func redirects() {
        let (h, client) = self.connected(["\(self.dir)/*"])
        var locator = WireWriter()
        locator.string(1, XDSType.redirectURL)
        locator.message(2, ReferenceServer.payload(.leds, "elsewhere", 7))
        var entry = WireWriter()
        entry.string(1, "1")
        entry.message(2, locator.bytes)
        entry.string(3, "\(self.dir)/a")
        h.respond(.leds, [entry.bytes])
        #expect(!h.takeUpstream().contains { $0.contains("NACK") || $0.contains("elsewhere") })
        #expect(client.inbox.first.map { $0.body.contains(locator.bytes) } == true)

        let list = XDSType.of(typeURL: "type.googleapis.com/envoy.config.listener.v3.ListenerCollection")
        let (l, listener) = self.connected(["xdstp://x/l/list"], type: list)
        l.respond(list, [ContentHarness.entry(list, "xdstp://x/l/list", 1)])
        #expect(listener.take().map { $0.hasSuffix("xdstp://x/l/list@1") } == [true])
    }

    @Test("XLT-10 to a SotW client a collection's name is a name like any other")
    func sotw() {
        let h = ContentHarness(.delta)
        let client = h.connect(.sotw)
        let delta = h.connect(.delta)
        let glob = "xdstp://x/envoy.config.endpoint.v3.ClusterLoadAssignment/foo/*"
        client.subscribe(.eds, [glob])
        delta.subscribe(.eds, [glob])
        h.say(.eds, "xdstp://x/envoy.config.endpoint.v3.ClusterLoadAssignment/foo/a", 1)
        #expect(delta.take().count == 1)
        #expect(client.take() == [])
        #expect(client.refusal == nil)
    }

    @Test("NAME-02 clients that order parameters differently share one subscription and both are answered")
    func parameters() {
        for variant in ProtocolVariant.allCases {
            let h = ContentHarness(variant)
            let one = h.connect(.delta)
            let two = h.connect(.sotw)
            one.subscribe(.eds, ["xdstp://x/t/foo?a=1&b=2"])
            two.subscribe(.eds, ["xdstp://x/t/foo?b=2&a=1"])
            one.subscribe(.eds, ["xdstp://x/t/foo?a=1"])
            h.advance(.milliseconds(20))
            let asked = h.takeUpstream().joined(separator: " ")
            #expect(asked.contains("foo?a=1&b=2") && !asked.contains("b=2&a=1"))
            h.say(.eds, "xdstp://x/t/foo?b=2&a=1", 1)
            #expect(one.takeAndAck().first?.contains("xdstp://x/t/foo?a=1&b=2@1") == true)
            #expect(two.takeAndAck() == ["eds [xdstp://x/t/foo?b=2&a=1@1]"])
            one.unsubscribe(.eds, ["xdstp://x/t/foo?b=2&a=1"])
            h.say(.eds, "xdstp://x/t/foo?a=1&b=2", 2)
            #expect(one.take() == [])
            #expect(two.take() == ["eds [xdstp://x/t/foo?a=1&b=2@2]"])
        }
    }
}

extension [UInt8] {
    /// Whether these bytes stand somewhere in these.
    fileprivate func contains(_ part: [UInt8]) -> Bool {
        guard part.count <= self.count else { return false }
        return (0...(self.count - part.count)).contains { self[$0..<($0 + part.count)].elementsEqual(part) }
    }
}
