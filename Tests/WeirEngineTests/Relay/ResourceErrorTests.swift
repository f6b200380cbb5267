import Testing
import WeirBase
import WeirXDS

@testable import WeirEngine

@Suite struct ResourceErrorTests {
    private static let unavailable = 14
    private static let notFound = 5

    @Test("NAME-14 an error goes once to those who ask for the name, and to later ones until the resource is there")
    func relayed() {
        for variant in ProtocolVariant.allCases {
            let h = ContentHarness(variant)
            let delta = h.connect(.delta)
            let sotw = h.connect(.sotw)
            let other = h.connect(.delta)
            delta.subscribe(.eds, ["b"])
            sotw.subscribe(.eds, ["b"])
            other.subscribe(.eds, ["a"])
            h.advance(.milliseconds(20))
            h.respond(.eds, [], errors: [("b", Self.unavailable), ("nobody", Self.unavailable)])
            #expect(delta.takeAndAck() == ["eds !b=14"])
            #expect(sotw.takeAndAck() == ["eds [] !b=14"])
            #expect(other.take() == [])
            // Said again it is no news, and 15 s later the name is not taken for missing.
            h.respond(.eds, [], errors: [("b", Self.unavailable)])
            h.advance(.seconds(20))
            #expect(delta.take() + sotw.take() == [])
            let late = h.connect(.delta)
            late.subscribe(.eds, ["b"])
            #expect(late.takeAndAck() == ["eds !b=14"])
            h.say(.eds, "b", 1)
            #expect(delta.takeAndAck() + late.takeAndAck() == ["eds b@1", "eds b@1"])
            #expect(sotw.takeAndAck() == ["eds [b@1]"])
            let later = h.connect(.delta)
            later.subscribe(.eds, ["b"])
            #expect(later.takeAndAck() == ["eds b@1"])
        }
    }

    @Test("NAME-14 what is held stays when it cannot be had, sets stay whole, and no name is in both lists")
    func held() {
        for variant in ProtocolVariant.allCases {
            let h = ContentHarness(variant)
            let delta = h.connect(.delta)
            let sotw = h.connect(.sotw)
            for client in [delta, sotw] { client.subscribe(.cds, []) }
            h.say(.cds, [("a", 1, nil), ("b", 1, nil)])
            for client in [delta, sotw] { client.takeAndAck() }
            // SotW would mean by this response that b is gone, but for the error.
            let a =
                variant == .sotw
                ? ReferenceServer.payload(.cds, "a", 2) : ContentHarness.entry(.cds, "a", 2)
            h.respond(.cds, [a], errors: [("b", Self.unavailable)])
            #expect(delta.takeAndAck() == ["cds a@2 !b=14"])
            #expect(sotw.takeAndAck() == ["cds [a@2, b@1]"])
            for late in [h.connect(.delta), h.connect(.sotw)] {
                late.subscribe(.cds, [])
                #expect(late.take().first?.contains("b@1") == true)
            }
            // The resource clears it, even unchanged.
            h.say(.cds, [("a", 2, nil), ("b", 1, nil)])
            #expect(delta.takeAndAck() == ["cds b@1"])
        }
    }

    @Test("AGG-23 NAME-14 who waits for what must be fetched is given what is held when it cannot be had")
    func heldAndFetched() {
        for variant in ProtocolVariant.allCases {
            let h = ContentHarness(variant)
            // `cache_control { do_not_cache: true }`.
            let entry = ContentHarness.entry(.eds, "a", 1, extra: [0x3A, 2, 8, 1])
            var wrapper = WireWriter()
            wrapper.string(1, XDSType.wrapperURL)
            wrapper.message(2, entry)
            let first = h.connect(.delta)
            first.subscribe(.eds, ["a"])
            h.advance(.milliseconds(20))
            h.respond(.eds, [variant == .delta ? entry : wrapper.bytes])
            #expect(first.takeAndAck() == ["eds a@1"])
            for joiner in [h.connect(.delta), h.connect(.sotw)] {
                _ = h.takeUpstream()
                joiner.subscribe(.eds, ["a"])
                h.advance(.milliseconds(20))
                #expect(joiner.take() == [])
                #expect(h.takeUpstream().count == 2, "it is asked for anew")
                h.respond(.eds, [], errors: [("a", Self.unavailable)])
                #expect(joiner.takeAndAck().first?.contains("a@1") == true)
            }
        }
    }

    @Test("XLT-11 NAME-14 why a name is gone is told to SotW clients, and no news to delta clients that know it is")
    func knownRemoval() {
        let h = ContentHarness(.delta)
        let delta = h.connect(.delta)
        let sotw = h.connect(.sotw)
        for client in [delta, sotw] { client.subscribe(.rds, ["a", "c"]) }
        h.respond(.rds, [ContentHarness.entry(.rds, "a", 1)], removed: ["c"])
        #expect(delta.takeAndAck() == ["rds a@1 -c"])
        #expect(sotw.takeAndAck() == ["rds [a@1]"])
        h.respond(.rds, [], errors: [("c", Self.notFound)])
        #expect(delta.takeAndAck() == [])
        #expect(sotw.takeAndAck() == ["rds [] !c=5"])
        delta.subscribe(.rds, ["c"])
        #expect(delta.takeAndAck() == ["rds -c"])
    }

    @Test("XLT-11 NAME-14 that a name is gone, of which was said why, is no news when it is said without")
    func knownWithoutError() {
        let h = ContentHarness(.delta)
        let delta = h.connect(.delta)
        let sotw = h.connect(.sotw)
        for client in [delta, sotw] { client.subscribe(.rds, ["c"]) }
        h.respond(.rds, [], errors: [("c", Self.notFound)])
        #expect(delta.takeAndAck() == ["rds -c"])
        #expect(sotw.takeAndAck() == ["rds [] !c=5"])
        h.respond(.rds, [], removed: ["c"])
        #expect(delta.takeAndAck() + sotw.takeAndAck() == [])
        let late = h.connect(.delta)
        late.subscribe(.rds, ["c"])
        #expect(late.takeAndAck() == ["rds -c"])
        h.respond(.rds, [ContentHarness.entry(.rds, "c", 1)])
        #expect(delta.takeAndAck() == ["rds c@1"])
        #expect(sotw.takeAndAck() == ["rds [c@1]"])
    }

    @Test("NAME-14 XLT-11 not found is a removal to delta clients; SotW clients are told why")
    func notFound() {
        for variant in ProtocolVariant.allCases {
            let h = ContentHarness(variant)
            let delta = h.connect(.delta)
            let sotw = h.connect(.sotw)
            for client in [delta, sotw] { client.subscribe(.rds, ["a", "zz"]) }
            h.say(.rds, "a", 1)
            for client in [delta, sotw] { client.takeAndAck() }
            h.respond(.rds, [], errors: [("a", Self.notFound), ("zz", Self.notFound)])
            #expect(delta.takeAndAck() == ["rds -a -zz"])
            #expect(sotw.takeAndAck() == ["rds [] !a=5 !zz=5"])
            let late = h.connect(.delta)
            late.subscribe(.rds, ["a"])
            #expect(late.takeAndAck() == ["rds -a"])
            h.advance(.seconds(20))
            #expect(delta.take() + sotw.take() == [])
        }
    }

    @Test("XLT-11 SOTW-07 the removal of a name that never existed is no news to SotW clients")
    func removalOfUnknown() {
        let h = ContentHarness(.delta)
        let delta = h.connect(.delta)
        let sotw = h.connect(.sotw)
        for client in [delta, sotw] { client.subscribe(.rds, ["zz"]) }
        h.respond(.rds, [], removed: ["zz"])
        #expect(delta.take() == ["rds -zz"])
        #expect(sotw.take() == [])
    }

    @Test("NAME-14 an error of a collection goes by the collection's name")
    func collection() {
        let h = ContentHarness(.delta)
        let client = h.connect(.delta)
        client.subscribe(.leds, ["c/*"])
        h.respond(.leds, [], errors: [("c/*", Self.unavailable)])
        #expect(client.takeAndAck() == ["leds !c/*=14"])
        h.advance(.seconds(20))
        #expect(client.take() == [])
        h.say(.leds, "c/1", 1)
        #expect(client.takeAndAck() == ["leds c/1@1"])
    }

    @Test("NAME-14 a worker that comes later is told of errors too")
    func laterWorker() {
        for variant in ProtocolVariant.allCases {
            let h = HomeHarness(variant)
            h.join(0)
            h.join(1)
            h.want(.eds, ["b"], worker: 0)
            h.open()
            var writer = WireWriter()
            writer.string(1, "v")
            writer.string(4, XDSType.eds.typeURL)
            writer.string(5, "n1")
            writer.message(variant == .delta ? 9 : 7, ContentHarness.error("b", Self.unavailable))
            h.receive(writer.bytes)
            #expect(h.takeUpdates(workers: 1) == ["'!b=14"])
            h.want(.eds, ["b"], worker: 1)
            #expect(h.takeUpdates(workers: 2) == ["'!b=14"])
        }
    }

    @Test("NAME-14 who asks first on a worker that heard of the error before is told; later all is forgotten")
    func heardBefore() {
        let h = ContentHarness(.delta)
        let other = h.connect(.delta)
        other.subscribe(.eds, ["a"])
        h.advance(.milliseconds(20))
        // Another worker asked for b.
        let wish = InterestChange(typeURL: XDSType.eds.typeURL, added: ["b"])
        h.home.workerJoined(1)
        h.home.apply(wish, from: 1, now: h.now, wall: WallTime(rawValue: 0))
        h.respond(.eds, [], errors: [("b", Self.unavailable)])
        let client = h.connect(.delta)
        client.subscribe(.eds, ["b"])
        #expect(client.takeAndAck() == ["eds !b=14"])
        #expect(other.take() == [])
        client.unsubscribe(.eds, ["b"])
        h.home.workerLeft(1, now: h.now)
        h.advance(.seconds(3))
        #expect(h.shard.views.compactMap { $0 }.flatMap { $0.entries.filter(\.isInUse).map(\.name) } == ["a"])
    }

    @Test("NAME-14 a client that is behind is told when it answers; a name both sent and failed is sent")
    func behind() {
        let h = ContentHarness(.delta)
        let client = h.connect(.delta)
        client.subscribe(.eds, ["a", "b"])
        h.respond(
            .eds, [ContentHarness.entry(.eds, "a", 1)], errors: [("a", Self.unavailable), ("b", Self.unavailable)])
        #expect(client.take() == ["eds a@1 !b=14"])
        h.respond(.eds, [], errors: [("a", Self.unavailable)])
        #expect(client.take() == [])
        client.ackAll()
        #expect(client.take() == ["eds !a=14"])
    }
}
