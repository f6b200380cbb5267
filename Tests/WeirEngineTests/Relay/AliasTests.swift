import Testing
import WeirBase
import WeirXDS

@testable import WeirEngine

@Suite struct AliasTests {
    private static let entry = ContentHarness.entry(.vhds, "rc/vh1", 1, aliases: ["rc/foo.com", "rc/bar.com"])

    private func harness() -> (ContentHarness, ContentHarness.Client) {
        let h = ContentHarness(.delta)
        let client = h.connect(.delta)
        client.subscribe(.vhds, ["rc/foo.com"])
        return (h, client)
    }

    @Test("NAME-08 DELTA-22 an alias is answered under the resource's name, for good, and others find it in the cache")
    func alias() {
        let (h, first) = self.harness()
        h.respond(.vhds, [Self.entry])
        #expect(first.takeAndAck() == ["vhds rc/vh1@1=rc/foo.com=rc/bar.com"])
        h.advance(.seconds(20))
        #expect(first.take() == [])
        let second = h.connect(.delta)
        second.subscribe(.vhds, ["rc/bar.com"])
        #expect(second.takeAndAck() == ["vhds rc/vh1@1=rc/foo.com=rc/bar.com"])
        let third = h.connect(.delta)
        third.subscribe(.vhds, ["rc/vh1"])
        #expect(third.takeAndAck() == ["vhds rc/vh1@1=rc/foo.com=rc/bar.com"])
        first.unsubscribe(.vhds, ["rc/foo.com"])
        h.advance(.seconds(3))
        #expect(h.takeUpstream().last?.contains("-rc/foo.com") == true)
        h.respond(.vhds, [ContentHarness.entry(.vhds, "rc/vh1", 2, aliases: ["rc/foo.com", "rc/bar.com"])])
        #expect(first.take() == [])
        #expect(second.takeAndAck() == ["vhds rc/vh1@2=rc/foo.com=rc/bar.com"])
        #expect(third.takeAndAck() == ["vhds rc/vh1@2=rc/foo.com=rc/bar.com"])
    }

    @Test("NAME-08 DELTA-14 who asks by several names gets the resource once, and one removal")
    func several() {
        let (h, client) = self.harness()
        client.subscribe(.vhds, ["rc/bar.com", "rc/vh1"])
        h.respond(.vhds, [Self.entry])
        #expect(client.takeAndAck() == ["vhds rc/vh1@1=rc/foo.com=rc/bar.com"])
        h.respond(.vhds, [], removed: ["rc/vh1"])
        let removal = client.takeAndAck()
        #expect(removal.count == 1)
        #expect(removal.first?.split(separator: " ").dropFirst().sorted() == ["-rc/bar.com", "-rc/foo.com", "-rc/vh1"])
    }

    @Test("NAME-08 the removal of a resource is told by its own name to who asked by an alias")
    func removal() {
        let (h, client) = self.harness()
        h.respond(.vhds, [Self.entry])
        client.takeAndAck()
        h.respond(.vhds, [], removed: ["rc/vh1"])
        #expect(client.takeAndAck() == ["vhds -rc/foo.com -rc/vh1"])
        h.respond(.vhds, [Self.entry])
        #expect(client.takeAndAck() == ["vhds rc/vh1@1=rc/foo.com=rc/bar.com"])
        h.respond(.vhds, [], removed: ["rc/foo.com"])
        #expect(client.takeAndAck() == ["vhds -rc/foo.com -rc/vh1"])
    }

    @Test("NAME-08 NAME-09 one response says that an alias cannot be resolved and that its resource is gone")
    func removalOfWhatCannotBeResolved() {
        let (h, client) = self.harness()
        h.respond(.vhds, [Self.entry])
        client.takeAndAck()
        let unresolved = ContentHarness.entry(.vhds, "rc/foo.com", nil, aliases: ["rc/foo.com"])
        h.respond(.vhds, [unresolved], removed: ["rc/vh1"])
        let told = client.takeAndAck().flatMap { $0.split(separator: " ").map(String.init) }
        #expect(told.contains("-rc/vh1"))
    }

    @Test("NAME-08 NAME-09 an alias that cannot be resolved any more takes the resource with it that was had by it")
    func resolvedNoMore() {
        let (h, client) = self.harness()
        h.respond(.vhds, [Self.entry])
        client.takeAndAck()
        h.respond(.vhds, [ContentHarness.entry(.vhds, "rc/foo.com", nil, aliases: ["rc/foo.com"])])
        #expect(client.takeAndAck() == ["vhds rc/foo.com=rc/foo.com -rc/vh1"])
    }

    @Test("NAME-09 an alias that cannot be resolved is relayed, remembered for itself alone, and may be resolved later")
    func unresolved() {
        let (h, client) = self.harness()
        h.respond(.vhds, [Self.entry])
        client.takeAndAck()
        client.subscribe(.vhds, ["rc/zz"])
        h.respond(.vhds, [ContentHarness.entry(.vhds, "rc/vh1", nil, aliases: ["rc/zz"])])
        #expect(client.takeAndAck() == ["vhds rc/vh1=rc/zz"])
        #expect(!h.takeUpstream().contains { $0.contains("NACK") })
        let late = h.connect(.delta)
        late.subscribe(.vhds, ["rc/zz", "rc/bar.com"])
        #expect(late.takeAndAck() == ["vhds rc/vh1=rc/zz"])
        #expect(late.takeAndAck() == ["vhds rc/vh1@1=rc/foo.com=rc/bar.com"])
        let other = h.connect(.delta)
        other.subscribe(.vhds, ["rc/zz"])
        #expect(other.takeAndAck() == ["vhds rc/vh1=rc/zz"])
        h.advance(.seconds(20))
        h.respond(.vhds, [ContentHarness.entry(.vhds, "rc/vh2", 1, aliases: ["rc/zz"])])
        #expect(other.takeAndAck() == ["vhds rc/vh2@1=rc/zz"])
        #expect(client.takeAndAck() == ["vhds rc/vh2@1=rc/zz"])
    }

    @Test("NAME-10 DELTA-05 who asks again is answered again, found or not; one stream serves several routes")
    func again() {
        let (h, client) = self.harness()
        h.respond(.vhds, [Self.entry])
        client.takeAndAck()
        client.subscribe(.vhds, ["rc/foo.com"])
        #expect(client.takeAndAck() == ["vhds rc/vh1@1=rc/foo.com=rc/bar.com"])
        client.subscribe(.vhds, ["other/foo.com"])
        h.respond(.vhds, [], removed: ["other/foo.com"])
        #expect(client.takeAndAck() == ["vhds -other/foo.com"])
        client.subscribe(.vhds, ["other/foo.com"])
        #expect(client.takeAndAck() == ["vhds -other/foo.com"])
    }

    @Test("UP-08 NAME-08 after a reconnection the server is told of resources by their own names")
    func reconnection() {
        let h = HomeHarness(.delta)
        h.join()
        h.want(.vhds, ["rc/foo.com", "rc/zz"])
        h.open()
        h.delta(.vhds, "n1", raw: [Self.entry, ContentHarness.entry(.vhds, "rc/zz", nil, aliases: ["rc/zz"])])
        #expect(h.takeUpdates().last == "'rc/foo.com@1 'rc/zz@-1")
        _ = h.takeRequests()
        h.lose()
        h.open()
        #expect(h.takeRequests() == ["0 node vhds +rc/foo.com,rc/zz irv=rc/vh1@1"])
        #expect(h.group.resources(typeURL: XDSType.vhds.typeURL).map(\.name) == ["rc/vh1", "rc/zz"])
    }

    @Test(
        "NAME-08 DELTA-12 who comes back with a host, asked for by an alias, hears that it is gone or another's, once")
    func comesBack() {
        let held = ["rc/vh1": "1"]
        let (h, first) = self.harness()
        h.respond(.vhds, [], removed: ["rc/foo.com"])
        first.takeAndAck()
        let gone = h.connect(.delta)
        gone.subscribe(.vhds, ["rc/foo.com"], held: held)
        #expect(gone.takeAndAck() == ["vhds -rc/foo.com -rc/vh1"])
        h.respond(.vhds, [ContentHarness.entry(.vhds, "rc/vh2", 1, aliases: ["rc/foo.com"])])
        #expect(gone.takeAndAck() == ["vhds rc/vh2@1=rc/foo.com"])
        let moved = h.connect(.delta)
        moved.subscribe(.vhds, ["rc/foo.com"], held: held)
        #expect(moved.takeAndAck() == ["vhds rc/vh2@1=rc/foo.com -rc/vh1"])
        // Nothing is said of it while the origin has not answered all that is asked for.
        let waiting = h.connect(.delta)
        waiting.subscribe(.vhds, ["rc/foo.com", "rc/bar.com"], held: held)
        #expect(waiting.takeAndAck() == ["vhds rc/vh2@1=rc/foo.com"])
        h.respond(.vhds, [ContentHarness.entry(.vhds, "rc/vh1", 1, aliases: ["rc/bar.com"])])
        #expect(waiting.take() == [])
    }

    @Test(
        "NAME-08 DELTA-05 who comes back, and gives an alias up and asks for it again before the answer, is sent the host"
    )
    func comesBackAndChanges() {
        let h = ContentHarness(.delta)
        let client = h.connect(.delta)
        client.subscribe(.vhds, ["rc/foo.com"], held: ["rc/vh1": "1"])
        client.unsubscribe(.vhds, ["rc/foo.com"])
        client.subscribe(.vhds, ["rc/foo.com"])
        h.respond(.vhds, [Self.entry])
        #expect(client.takeAndAck() == ["vhds rc/vh1@1=rc/foo.com=rc/bar.com"])
    }

    @Test("NAME-08 DELTA-12 a host that is had by an alias beside a wildcard is not taken for gone")
    func comesBackBesideWildcard() {
        let h = ContentHarness(.delta)
        let first = h.connect(.delta)
        first.subscribe(.vhds, ["*", "rc/foo.com"])
        h.advance(.milliseconds(20))
        h.respond(.vhds, [ContentHarness.entry(.vhds, "rc/all", 1)], on: 0)
        h.respond(.vhds, [Self.entry], on: 1)
        first.takeAndAck()
        first.takeAndAck()
        let back = h.connect(.delta)
        back.subscribe(.vhds, ["*", "rc/foo.com"], held: ["rc/vh1": "1", "rc/all": "1", "rc/old": "1"])
        #expect(back.takeAndAck() == ["vhds -rc/old"])
    }

    @Test("DELTA-06 NAME-08 an alias given up beside a wildcard: the resource stays if the wildcard has it")
    func besideWildcard() {
        let h = ContentHarness(.delta)
        let client = h.connect(.delta)
        client.subscribe(.vhds, [])
        client.subscribe(.vhds, ["rc/foo.com"])
        h.advance(.milliseconds(20))
        h.respond(.vhds, [Self.entry], on: 0)
        h.respond(.vhds, [Self.entry], on: 1)
        client.takeAndAck()
        client.takeAndAck()
        client.unsubscribe(.vhds, ["rc/foo.com"])
        #expect(client.takeAndAck() == ["vhds rc/vh1@1=rc/foo.com=rc/bar.com -rc/foo.com"])
    }
}
