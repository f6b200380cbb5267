import Testing
import WeirBase
import WeirXDS

@testable import WeirEngine

/// A relay whose control plane the test plays by hand: one delta or SotW group, one shard.
@Suite struct TimeToLiveTests {
    static let both = ["xds.config.supports-resource-ttl", "xds.config.resource-in-sotw"]

    // MARK: The home

    private func home(_ variant: ProtocolVariant = .delta) -> HomeHarness {
        let h = HomeHarness(variant)
        h.join()
        h.want(.cds, wildcard: true)
        h.open()
        return h
    }

    @Test("TTL-02 TTL-03 a heartbeat begins the time anew; without one the resource is gone, connected or not")
    func expiry() {
        let h = self.home()
        h.delta(.cds, "n1", ["b@1"], raw: [ContentHarness.entry(.cds, "a", 1, ttl: 3)])
        #expect(h.takeUpdates() == ["a@1 b@1"])
        h.advance(.seconds(2))
        h.delta(.cds, "n2", raw: [ContentHarness.entry(.cds, "a", nil, ttl: 3)])
        h.advance(.seconds(2))
        #expect(h.takeUpdates() == ["a@1"])
        #expect(h.group.resources(typeURL: XDSType.cds.typeURL).map(HomeHarness.content) == [1, 1])
        h.lose()
        h.advance(.milliseconds(900))
        #expect(h.takeUpdates() == [])
        h.advance(.milliseconds(100))
        #expect(h.takeUpdates() == ["-a"])
        h.advance(.seconds(60))
        #expect(h.takeUpdates() == [])
        #expect(h.group.resources(typeURL: XDSType.cds.typeURL).map(\.name) == ["b"])
    }

    @Test("TTL-02 a heartbeat of another version, or of a resource that is not held, does nothing")
    func foreignHeartbeat() {
        let h = self.home()
        h.delta(.cds, "n1", raw: [ContentHarness.entry(.cds, "a", 1, ttl: 3)])
        h.advance(.seconds(2))
        h.delta(
            .cds, "n2",
            raw: [
                ContentHarness.entry(.cds, "a", nil, version: "2", ttl: 3),
                ContentHarness.entry(.cds, "z", nil, ttl: 3),
            ])
        _ = h.takeUpdates()
        h.advance(.seconds(1))
        #expect(h.takeUpdates() == ["-a"])
    }

    @Test("TTL-07 XLT-05 another time to live, or none, is no other content, and the end follows it")
    func change() {
        for variant in ProtocolVariant.allCases {
            let h = self.home(variant)
            func say(_ nonce: String, _ ttl: Int?) {
                switch variant {
                case .delta: h.delta(.cds, nonce, raw: [ContentHarness.entry(.cds, "a", 1, ttl: ttl)])
                case .sotw:
                    h.sotw(.cds, "v", nonce, [], raw: [ContentHarness.wrapped(.cds, "a", 1, ttl: ttl)])
                }
            }
            say("n1", 5)
            let first = h.takeVersions()
            say("n2", 10)
            #expect(h.takeVersions() == first)
            h.advance(.seconds(9))
            #expect(h.takeUpdates() == [])
            say("n3", nil)
            #expect(h.takeVersions() == first)
            h.advance(.seconds(60))
            #expect(h.takeUpdates() == [])
            say("n4", 1)
            #expect(h.takeVersions() == first)
            h.advance(.seconds(1))
            #expect(h.takeUpdates() == ["-a"])
        }
    }

    @Test("TTL-06 a SotW response of heartbeats alone removes nothing")
    func sotwHeartbeat() {
        let h = self.home(.sotw)
        h.sotw(.cds, "v", "n1", ["b@1"], raw: [ContentHarness.wrapped(.cds, "a", 1, ttl: 3)])
        _ = h.takeUpdates()
        h.advance(.seconds(2))
        h.sotw(.cds, "v", "n2", [], raw: [ContentHarness.wrapped(.cds, "a", nil, ttl: 3)])
        #expect(h.takeUpdates() == ["a@1"])
        h.advance(.seconds(2))
        #expect(h.takeUpdates() == [])
    }

    @Test("TTL-08 an entry without payload is no heartbeat of a virtual host")
    func virtualHost() {
        let h = HomeHarness(.delta)
        h.join()
        h.want(.vhds, ["rc/a"])
        h.open()
        h.delta(.vhds, "n1", raw: [ContentHarness.entry(.vhds, "rc/a", 1, ttl: 3)])
        _ = h.takeUpdates()
        h.advance(.seconds(2))
        h.delta(.vhds, "n2", raw: [ContentHarness.entry(.vhds, "rc/a", nil, ttl: 3)])
        h.advance(.seconds(1))
        #expect(h.takeUpdates().last == "'-rc/a")
    }

    // MARK: From the control plane to clients

    @Test("TTL-02 DELTA-12 who came back before the origin had spoken is sent whole what may have run out meanwhile")
    func lateResumption() {
        let h = ContentHarness(.delta)
        let back = h.connect(.delta)
        back.subscribe(.eds, ["a", "b"], held: ["a": "1", "b": "1"])
        h.advance(.seconds(2))
        h.say(.eds, [("a", 1, 5), ("b", 1, nil)])
        #expect(back.takeAndAck() == ["eds a@1 ttl=5000"])
    }

    @Test("TTL-03 UP-08 of what may run out before there is word of it, a server is not told that it is held")
    func reconnection() {
        let h = self.home()
        h.delta(.cds, "n1", ["b@1"], raw: [ContentHarness.entry(.cds, "a", 1, ttl: 3)])
        h.lose()
        _ = h.takeRequests()
        h.open()
        #expect(h.takeRequests() == ["0 node cds irv=b@1"])
    }

    @Test("TTL-01 a time to live goes to delta clients, and to SotW clients that know it and the wrapper")
    func features() {
        for variant in ProtocolVariant.allCases {
            let h = ContentHarness(variant)
            let one = "xds.config.supports-resource-ttl"
            let sets: [(features: [String], takes: Bool)] = [
                ([], false), ([one], false), (["xds.config.resource-in-sotw"], false), (Self.both, true),
                ([one, "xds.config.supports-resource-in-sotw"], true),
            ]
            let clients = sets.map { h.connect(.sotw, features: $0.features) }
            let delta = h.connect(.delta)
            for client in clients + [delta] { client.subscribe(.cds, []) }
            h.say(.cds, "a", 1, ttl: 5)
            for (client, set) in zip(clients, sets) {
                #expect(client.take() == [set.takes ? "cds [a@1 ttl=5000]" : "cds [a@1]"], "\(set.features)")
            }
            #expect(delta.take() == ["cds a@1 ttl=5000"])
        }
    }

    @Test("TTL-02 TTL-05 TTL-06 delta clients see heartbeats, SotW clients that know them the whole, others nothing")
    func heartbeats() {
        for variant in ProtocolVariant.allCases {
            let h = ContentHarness(variant)
            let delta = h.connect(.delta)
            let knowing = h.connect(.sotw, features: Self.both)
            let plain = h.connect(.sotw)
            for client in [delta, knowing, plain] { client.subscribe(.cds, []) }
            h.say(.cds, [("b", 1, nil), ("a", 1, 5)])
            for client in [delta, knowing, plain] { client.takeAndAck() }
            let versions = knowing.lastVersion
            h.advance(.seconds(1))
            h.heartbeat(.cds, "a", ttl: 5)
            #expect(delta.takeAndAck() == ["cds a ttl=5000"])
            #expect(knowing.take() == ["cds [a@1 ttl=5000, b@1]"])
            #expect(knowing.lastVersion == versions)
            #expect(plain.take() == [])
            // TTL-08: answers to heartbeats are answers like any other.
            knowing.nackAll()
            #expect(delta.take() + knowing.take() + plain.take() == [])
            h.heartbeat(.cds, "a", ttl: 5)
            #expect(knowing.take() == ["cds [a@1 ttl=5000, b@1]"])
        }
    }

    @Test("TTL-03 delta clients are told of the end, joiners do not see the resource, and the others stay")
    func end() {
        for variant in ProtocolVariant.allCases {
            let h = ContentHarness(variant)
            let delta = h.connect(.delta)
            delta.subscribe(.cds, [])
            h.say(.cds, [("b", 1, nil), ("a", 1, 3)])
            delta.takeAndAck()
            h.lose()
            h.advance(.seconds(3))
            #expect(delta.takeAndAck() == ["cds -a"])
            for late in [h.connect(.delta), h.connect(.sotw)] {
                late.subscribe(.cds, [])
                #expect(late.take().map { $0.contains("b@1") && !$0.contains("a") } == [true])
            }
        }
    }

    @Test("TTL-04 late joiners get what is left, in answers that are shared and not kept too long")
    func lateJoiner() {
        let h = ContentHarness(.delta)
        let first = h.connect(.delta)
        first.subscribe(.cds, [])
        h.say(.cds, "a", 1, ttl: 10)
        #expect(first.takeAndAck() == ["cds a@1 ttl=10000"])
        h.advance(.seconds(2))
        let late = [h.connect(.delta), h.connect(.delta), h.connect(.sotw, features: Self.both)]
        for client in late { client.subscribe(.cds, []) }
        #expect(late.map { $0.take() } == [["cds a@1 ttl=8000"], ["cds a@1 ttl=8000"], ["cds [a@1 ttl=8000]"]])
        h.advance(.milliseconds(1500))
        let later = h.connect(.delta)
        later.subscribe(.cds, [])
        #expect(later.take() == ["cds a@1 ttl=6500"])
        // One that comes back and holds it needs no payload, only the time.
        let back = h.connect(.delta)
        back.subscribe(.cds, [], held: ["a": "1"])
        #expect(back.take() == ["cds a ttl=6500"])
    }

    @Test("TTL-02 a client that falls behind gets the heartbeat, or the resource if that changed too, once it answers")
    func behind() {
        let h = ContentHarness(.delta)
        let client = h.connect(.delta)
        client.subscribe(.cds, [])
        h.say(.cds, [("b", 1, 5), ("a", 1, 5)])
        let unanswered = client.take()
        #expect(unanswered == ["cds a@1 ttl=5000 b@1 ttl=5000"])
        h.advance(.seconds(1))
        h.heartbeat(.cds, "a", ttl: 5)
        h.say(.cds, [("b", 2, 5)])
        h.heartbeat(.cds, "b", version: "2", ttl: 5)
        #expect(client.take() == [])
        client.ackAll()
        #expect(client.take() == ["cds a ttl=5000 b@2 ttl=5000"])
    }

    @Test("TTL-01 DELTA-05 a name that is asked for again is sent whole, be its time new or not")
    func askedAgain() {
        let h = ContentHarness(.delta)
        let client = h.connect(.delta)
        client.subscribe(.eds, ["a"])
        h.say(.eds, "a", 1, ttl: 5)
        client.takeAndAck()
        client.subscribe(.eds, ["a"])
        h.heartbeat(.eds, "a", ttl: 5)
        #expect(client.take().last == "eds a@1 ttl=5000")
    }

    @Test("TTL-08 virtual hosts live on by being sent again whole")
    func virtualHosts() {
        let h = ContentHarness(.delta)
        let client = h.connect(.delta)
        client.subscribe(.vhds, ["rc/a"])
        h.say(.vhds, "rc/a", 1, ttl: 5)
        #expect(client.takeAndAck() == ["vhds rc/a@1 ttl=5000"])
        h.advance(.seconds(1))
        h.say(.vhds, "rc/a", 1, ttl: 5)
        #expect(client.takeAndAck() == ["vhds rc/a@1 ttl=5000"])
        #expect(client.take() == [])
    }
}
