import Testing
import WeirBase
import WeirXDS

@testable import WeirEngine

/// Rules of single requests, in both variants.
@Suite struct ShardRuleTests {
    private func state(_ h: ShardHarness, _ type: XDSType) -> TypeStatus.State? {
        h.shard.streamStatuses(from: 0, limit: 100).streams.first?.types.first { $0.type == type }?.state
    }

    // MARK: SotW

    @Test("SOTW-16 a NACK may change the names: the new one is sent, what was rejected is not")
    func nackWithNames() {
        let h = ShardHarness()
        let c = h.open(.sotw)
        c.request(.eds, ["a"])
        h.publish("n", .eds, lane: .named, ["a@1"])
        let nonce = c.take().first?.nonce
        c.request(.eds, ["a", "b"], nonce: nonce, error: "no")
        h.publish("n", .eds, lane: .named, ["b@1"])
        #expect(c.take().map(\.resources) == [["b"]])
    }

    @Test("SOTW-17 an ACK, however often, and the same request again get no answer")
    func quiescence() {
        let h = ShardHarness()
        for type in [XDSType.cds, .eds] {
            let c = h.open(.sotw)
            let names = type == .cds ? [] : ["a"]
            c.request(type, names)
            h.publish("n", type, lane: type == .cds ? .wildcard : .named, ["a@1"])
            let response = c.take().first
            for _ in 0..<3 { c.request(type, names, version: "v", nonce: response?.nonce) }
            #expect(c.take().isEmpty)
        }
    }

    @Test("SOTW-20 one ACK covers what was sent before, and of many requests the newest is answered")
    func supersession() {
        let h = ShardHarness()
        let c = h.open(.sotw)
        c.request(.eds, ["a"])
        h.publish("n", .eds, lane: .named, ["a@1", "b@1"])
        let first = c.take()
        c.request(.eds, ["a", "b"], version: "", nonce: first.first?.nonce)
        let second = c.take()
        #expect(second.map(\.resources) == [["b"]])
        c.request(.eds, ["a", "b"], version: "v", nonce: second.first?.nonce)
        h.publish("n", .eds, lane: .named, ["a@2"])
        #expect(c.takeAndAck(["a", "b"]).map(\.resources) == [["a"]])
        let names = (0..<500).map { "n\($0)" }
        h.publish("n", .eds, lane: .named, names.map { "\($0)@1" })
        for count in 1...500 { c.request(.eds, Array(names[..<count])) }
        let answers = c.takeAndAck(names)
        #expect(answers.count == 1)
        #expect(Set(answers.flatMap(\.resources)) == Set(names))
    }

    @Test("SOTW-21 a NACK of one type is nothing to another", arguments: ProtocolVariant.allCases)
    func types(_ variant: ProtocolVariant) {
        let h = ShardHarness()
        let c = h.open(variant)
        func request(_ type: XDSType, nonce: String? = nil, error: String? = nil) {
            if variant == .sotw {
                c.request(type, nonce: nonce, error: error)
            } else {
                c.delta(type, nonce: nonce, error: error)
            }
        }
        request(.lds)
        request(.cds)
        h.publish("n", .lds, ["l@1"])
        request(.lds, nonce: c.take().last?.nonce, error: "no")
        for version in 1...3 {
            h.publish("n", .cds, ["c@\(version)"])
            #expect(c.takeAndAck().count == 1)
            #expect(self.state(h, .cds) == .acked)
            #expect(self.state(h, .lds) == .nacked)
        }
    }

    @Test("SOTW-23 DELTA-14 wildcard and name together bring a resource once", arguments: ProtocolVariant.allCases)
    func duplicates(_ variant: ProtocolVariant) {
        let h = ShardHarness()
        let c = h.open(variant)
        if variant == .sotw { c.request(.cds, ["*", "a", "a"]) } else { c.delta(.cds, add: ["*", "a", "a"]) }
        h.publish("n", .cds, ["a@1", "b@1"])
        h.publish("n", .cds, lane: .named, ["a@1"], wildcardKnown: true)
        let suffix = variant == .sotw ? "" : "@1"
        #expect(c.takeAndAck(["*", "a"]).map { $0.resources.sorted() } == [["a\(suffix)", "b\(suffix)"]])
        #expect(c.take().isEmpty)
    }

    @Test("SOTW-24 what was held back for a client is dropped when it empties the type")
    func emptied() {
        let h = ShardHarness()
        let c = h.open(.sotw)
        c.request(.sds, ["a"])
        h.settle(blocking: [c.handle])
        h.publish("n", .sds, lane: .named, ["a@1"])
        let first = c.take()
        #expect(first.map(\.resources) == [["a"]])
        h.publish("n", .sds, lane: .named, ["a@2"])
        c.request(.sds, [], version: "v", nonce: first.last?.nonce)
        #expect(c.take().isEmpty)
        for _ in 0..<5 {
            c.request(.sds, [], version: "", nonce: first.last?.nonce)
            h.publish("n", .sds, lane: .named, ["a@3"])
            #expect(c.take().isEmpty)
        }
    }

    @Test("SOTW-25 only the newest nonce, without error and with the version that was sent, is an ACK")
    func bookkeeping() {
        let h = ShardHarness()
        let c = h.open(.sotw)
        c.request(.eds, ["a"])
        h.publish("n", .eds, lane: .named, ["a@1"], version: "1", passes: true)
        c.takeAndAck(["a"])
        #expect(self.state(h, .eds) == .acked)
        h.publish("n", .eds, lane: .named, ["a@2"], version: "2", passes: true)
        let nonce = c.take().last?.nonce
        c.request(.eds, ["a"], version: "1", nonce: nonce, error: "no")
        #expect(self.state(h, .eds) == .nacked)
        c.request(.eds, ["a", "b"], version: "1", nonce: nonce)
        #expect(self.state(h, .eds) == .nacked)
        c.request(.eds, ["a", "b"], version: "2", nonce: nonce)
        #expect(self.state(h, .eds) == .acked)
    }

    @Test(
        "SOTW-26 streams of one node, of one type even, know nothing of each other", arguments: ProtocolVariant.allCases
    )
    func streams(_ variant: ProtocolVariant) {
        let h = ShardHarness()
        let one = h.open(variant, type: .eds)
        let two = h.open(variant, type: .eds)
        for (client, name) in [(one, "a"), (two, "b")] {
            if variant == .sotw { client.request(.eds, [name]) } else { client.delta(.eds, add: [name]) }
        }
        h.publish("n", .eds, lane: .named, ["a@1", "b@1"])
        let suffix = variant == .sotw ? "" : "@1"
        #expect(one.takeAndAck(["a"]).map(\.resources) == [["a\(suffix)"]])
        #expect(two.takeAndAck(["b"]).map(\.resources) == [["b\(suffix)"]])
        h.shard.close(one.id)
        h.publish("n", .eds, lane: .named, ["a@2", "b@2"])
        #expect(two.take().count == 1)
        #expect(one.take().isEmpty)
    }

    // MARK: Delta

    @Test("DELTA-11 after a NACK nothing is sent until it changes; a change back to what was there before is one")
    func afterNack() {
        let h = ShardHarness()
        let c = h.open(.delta)
        c.delta(.cds)
        h.publish("n", .cds, ["good@1", "bad@1"])
        c.takeAndAck()
        h.publish("n", .cds, ["good@2", "bad@2"])
        c.delta(.cds, nonce: c.take().last?.nonce, error: "bad")
        h.advance(.seconds(6))
        #expect(c.take().isEmpty)
        h.publish("n", .cds, ["bad@3"])
        c.delta(.cds, nonce: c.take().last?.nonce, error: "bad")
        h.publish("n", .cds, ["bad@1"])
        #expect(c.takeAndAck().map(\.resources) == [["bad@1"]])
    }

    @Test("DELTA-15 resources have a name and a version, whichever variant the upstream speaks")
    func nameAndVersion() {
        for variant in ProtocolVariant.allCases {
            let h = HomeHarness(variant)
            h.join()
            h.want(.cds, wildcard: true)
            h.open()
            if variant == .sotw { h.sotw(.cds, "", "n", ["a@1"]) } else { h.delta(.cds, "n", ["a@1"]) }
            #expect(h.takeVersions().allSatisfy { $0.key == "a" && !$0.value.isEmpty })
        }
        let h = HomeHarness(.delta)
        h.join()
        h.want(.leds, ["c/*"])
        h.open()
        h.delta(.leds, "n", raw: [HomeHarness.envelope("c/1", "", HomeHarness.any(.leds, "c/1@1"))])
        // A server that gives none must not make proxies that key by it stumble.
        #expect(h.takeVersions().filter { $0.key == "c/1" }.allSatisfy { !$0.value.isEmpty })
    }

    @Test("DELTA-18 a request without a nonce answers nothing; one with a nonce and no change is only that")
    func spontaneous() {
        let h = ShardHarness()
        let c = h.open(.delta)
        c.delta(.eds, add: ["a"])
        h.publish("n", .eds, lane: .named, ["a@1"])
        let nonce = c.take().last?.nonce
        #expect(self.state(h, .eds) == .sent)
        c.delta(.eds, add: ["b"])
        #expect(c.take().isEmpty)
        #expect(self.state(h, .eds) == .sent)
        c.delta(.eds, nonce: nonce)
        #expect(self.state(h, .eds) == .acked)
        #expect(c.take().isEmpty)
    }

    @Test("DELTA-20 no removal is made up: only what the upstream removed is, in every type")
    func removals() {
        for type in [XDSType.eds, .rds, .sds, .ecds, .rtds] {
            let h = ContentHarness(.delta)
            let c = h.connect(.delta)
            c.subscribe(type, ["a"])
            h.say(type, "a", 1)
            c.takeAndAck()
            h.lose()
            h.advance(.seconds(60))
            #expect(c.take() == [])
            let other = ContentHarness(.delta)
            let d = other.connect(.delta)
            d.subscribe(type, ["a"])
            other.say(type, "a", 1)
            d.takeAndAck()
            other.respond(type, [], removed: ["a"])
            #expect(d.take() == ["\(type.label) -a"])
        }
    }

    @Test("UP-19 the deletion of everything is relayed", arguments: Combination.all)
    func emptyPush(_ c: Combination) {
        let h = RelayHarness(ReferenceServer(c.up))
        h.server.set(.cds, ["a": .wild(1), "b": .wild(1)])
        let client = h.connect(c.down)
        client.subscribe(.cds, wildcard: true)
        h.settle()
        h.server.set(.cds, ["a": nil, "b": nil])
        h.settle()
        #expect(client.held(.cds) == [])
    }

    // MARK: Names

    @Test("NAME-01 old-style names are opaque, whatever is in them", arguments: ProtocolVariant.allCases)
    func opaque(_ variant: ProtocolVariant) {
        let h = ShardHarness()
        let long = String(repeating: "x", count: 4096)
        let names = [" a ", "A", "a%2Fb", "a/b", "ü", "outbound|80||x/y*z", "dir/*", "**", "a?b=2&a=1", long]
        let c = h.open(variant)
        if variant == .sotw { c.request(.eds, names) } else { c.delta(.eds, add: names) }
        #expect(Set(h.takeInterest(.eds)) == Set(names.map { "+" + $0 }))
        h.publish("n", .eds, lane: .named, names.map { "\($0)@1" } + ["dir/x@1"])
        let suffix = variant == .sotw ? "" : "@1"
        #expect(Set(c.take().flatMap(\.resources)) == Set(names.map { $0 + suffix }))
    }

    @Test("NAME-11 clusters on demand: alone they are no wildcard, and what is missing is said at once")
    func onDemand() {
        let h = ShardHarness()
        let alone = h.open(.delta)
        alone.delta(.cds, add: ["x"])
        alone.delta(.eds, add: ["x"])
        #expect(h.takeInterest(.cds) == ["+x"])
        let wild = h.open(.delta)
        wild.delta(.cds)
        h.publish("n", .cds, ["a@1"])
        h.publish("n", .eds, lane: .named, ["x@1"])
        #expect(alone.takeAndAck().map(\.label) == ["eds"])
        h.publish("n", .cds, lane: .named, ["x@1"], wildcardKnown: true, eds: true)
        let responses = alone.takeAndAck()
        // ORD-05: its endpoints come again after it.
        #expect(responses.map(\.label) == ["cds", "eds"])
        #expect(responses.map(\.resources) == [["x@1"], ["x@1"]])
        wild.takeAndAck()
        wild.delta(.cds, add: ["x", "zz"])
        #expect(wild.takeAndAck().map(\.resources) == [["x@1"]])
        h.publish("n", .cds, lane: .named, ["-zz"], wildcardKnown: true)
        #expect(wild.takeAndAck().map(\.removed) == [["zz"]])
        alone.delta(.cds, add: ["zz"])
        #expect(alone.takeAndAck().map(\.removed) == [["zz"]])
    }

    @Test("NAME-13 requests with dynamic parameters end the stream with INVALID_ARGUMENT, others go on")
    func locators() {
        let h = ShardHarness()
        for variant in ProtocolVariant.allCases {
            let c = h.open(variant)
            var writer = WireWriter()
            writer.message(variant == .sotw ? 2 : 1, ShardHarness.node("n"))
            writer.string(variant == .sotw ? 4 : 2, XDSType.eds.typeURL)
            writer.element(3, "plain")
            var locator = WireWriter()
            locator.string(1, "a")
            writer.message(variant == .sotw ? 7 : 8, locator.bytes)
            h.receive(c, writer.bytes)
            h.settle()
            #expect(h.refusals.last?.code == .invalidArgument)
            #expect(h.refusals.last?.reason == .locators)
        }
        #expect(h.refusals.count == 2)
    }

    @Test(
        "NAME-15 an empty first request is a wildcard in some types and nothing in others",
        arguments: ProtocolVariant.allCases)
    func emptyFirst(_ variant: ProtocolVariant) {
        let vendor = XDSType.of(typeURL: "type.googleapis.com/example.Vendor")
        for (type, isWildcard) in [
            (XDSType.cds, true), (.lds, true), (.srds, true), (vendor, true), (.eds, false), (.rds, false),
            (.sds, false), (.rtds, false), (.ecds, false),
        ] {
            let h = ShardHarness()
            let c = h.open(variant)
            if variant == .sotw { c.request(type) } else { c.delta(type) }
            #expect(h.takeInterest(type) == (isWildcard ? ["+*"] : []), "\(type.label)")
        }
    }

    @Test("XLT-08 names come from the field where the type has them; a wrapper brings its own")
    func payloadNames() {
        let h = HomeHarness(.sotw)
        h.join()
        h.want(.fcds, wildcard: true)
        h.want(.eds, ["a"])
        h.open()
        func any(_ type: XDSType, _ field: Int, _ name: String) -> [UInt8] {
            var value = WireWriter()
            value.string(field, name)
            var any = WireWriter()
            any.string(1, type.typeURL)
            any.message(2, value.bytes)
            return any.bytes
        }
        h.sotw(.fcds, "1", "n1", [], raw: [any(.fcds, 7, "chain")])
        #expect(h.takeUpdates().last?.hasPrefix("chain@") == true)
        let vendor = XDSType.of(typeURL: "type.googleapis.com/example.Vendor")
        h.want(vendor, ["v", "w"])
        h.sotw(vendor, "1", "n2", [], raw: [any(vendor, 1, "v"), ContentHarness.wrapped(vendor, "w", 1)])
        #expect(h.takeUpdates().last == "'v@-1 'w@1")
        _ = h.takeRequests()
        // Nothing to tell it from others by: refused rather than guessed.
        h.sotw(vendor, "2", "n3", [], raw: [any(vendor, 2, "v")])
        #expect(h.takeRequests().last?.hasSuffix("NACK") == true)
        #expect(h.takeUpdates().filter { $0 != "" } == [])
    }
}
