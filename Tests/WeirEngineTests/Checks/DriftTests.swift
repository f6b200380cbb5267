import Testing
import WeirBase
import WeirXDS

@testable import WeirEngine

/// What a group holds, compared with what its control plane says to a newcomer.
@Suite("Looking for drift")
struct DriftTests {
    /// A group that holds clusters by the wildcard and endpoints by name; `gone` is known not to be there.
    private func group(_ variant: ProtocolVariant) -> HomeHarness {
        let h = HomeHarness(variant)
        h.join()
        h.want(.cds, wildcard: true)
        h.want(.eds, ["x", "y", "gone"])
        h.open()
        if variant == .delta {
            h.delta(.cds, "n1", ["a@1", "b@1"])
            h.delta(.eds, "n2", ["x@1", "y@1"], removed: ["gone"])
        } else {
            h.sotw(.cds, "1", "n1", ["a@1", "b@1"])
            h.sotw(.eds, "1", "n2", ["x@1", "y@1"])
            h.advance(.seconds(15))
        }
        return h
    }

    private func answer(
        _ type: XDSType, _ variant: ProtocolVariant, _ resources: [String], removed: [String] = [],
        raw: [[UInt8]] = []
    ) -> [UInt8] {
        var writer = WireWriter()
        writer.string(1, "v")
        for text in resources {
            let any = HomeHarness.any(type, text)
            let name = text.split(separator: "@").map(String.init)[0]
            writer.message(2, variant == .delta ? HomeHarness.envelope(name, "other", any) : any)
        }
        for entry in raw { writer.message(2, entry) }
        writer.string(4, type.typeURL)
        writer.string(5, "nonce")
        if variant == .delta { for name in removed { writer.element(6, name) } }
        return writer.bytes
    }

    /// What differs when a newcomer is told this.
    private func compare(
        _ h: HomeHarness, _ variant: ProtocolVariant, cds: [String]? = ["a@1", "b@1"],
        eds: [String] = ["x@1", "y@1"], removed: [String] = ["gone"]
    ) throws -> [String] {
        let probe = try #require(h.group.driftProbe(ofStream: 0))
        if let cds = cds { _ = probe.receive(self.answer(.cds, variant, cds).span, now: h.now) }
        _ = probe.receive(self.answer(.eds, variant, eds, removed: removed).span, now: h.now)
        return self.texts(h.group.differences(from: probe).first)
    }

    private func texts(_ differences: [DriftDifference]) -> [String] {
        differences.map { "\($0.type.label) \($0.name) \($0.kind.rawValue)" }
    }

    @Test(
        "a probe asks as a newcomer with the group's node, and acknowledges", arguments: [ProtocolVariant.sotw, .delta])
    func requests(_ variant: ProtocolVariant) throws {
        let h = self.group(variant)
        let probe = try #require(h.group.driftProbe(ofStream: 0))
        #expect(probe.requests.count == 2)
        let received = probe.receive(self.answer(.eds, variant, ["x@1"]).span, now: h.now)
        let answer = try #require(received)
        if variant == .delta {
            let requests = try probe.requests.map { try DeltaDiscoveryRequest(decoding: $0.span) }
            #expect(requests.map { $0.node != nil } == [true, false])
            #expect(requests[0].subscribe.isEmpty && requests[0].initialVersions.isEmpty)
            let second = probe.requests[1]
            let names = requests[1].subscribe.map { second.span.string($0) }
            #expect(names == ["gone", "x", "y"])
            let nonce = try DeltaDiscoveryRequest(decoding: answer.span).responseNonce
            let text = answer.span.string(nonce)
            #expect(text == "nonce")
        } else {
            let requests = try probe.requests.map { try DiscoveryRequest(decoding: $0.span) }
            #expect(requests.map { $0.node != nil } == [true, false])
            #expect(requests[0].resourceNames.isEmpty && requests[0].versionInfo.isEmpty)
            let acknowledgement = try DiscoveryRequest(decoding: answer.span)
            let version = answer.span.string(acknowledgement.versionInfo)
            #expect(version == "v")
            #expect(acknowledgement.resourceNames.count == 3)
        }
    }

    @Test("the same content is no drift, whatever it is called", arguments: [ProtocolVariant.sotw, .delta])
    func same(_ variant: ProtocolVariant) throws {
        #expect(try self.compare(self.group(variant), variant) == [])
    }

    @Test("what is different, missing or too much is found by type and name")
    func differences() throws {
        for variant in [ProtocolVariant.sotw, .delta] {
            let found = try self.compare(
                self.group(variant), variant, cds: ["a@2", "c@1"], eds: ["x@1", "y@2", "gone@1"], removed: [])
            #expect(
                found == [
                    "cds a different", "cds b extra", "cds c missing", "eds gone missing", "eds y different",
                ])
        }
    }

    @Test("XLT-01 silence about a name proves nothing where the protocol has no word for its absence")
    func silence() throws {
        #expect(try self.compare(self.group(.sotw), .sotw, eds: ["x@1"]) == [])
        #expect(try self.compare(self.group(.delta), .delta, eds: ["x@1"]) == [])
        #expect(try self.compare(self.group(.delta), .delta, eds: ["x@1"], removed: ["y"]) == ["eds y extra"])
        // An empty set is an answer, none is not.
        #expect(try self.compare(self.group(.sotw), .sotw, cds: []) == ["cds a extra", "cds b extra"])
        #expect(try self.compare(self.group(.sotw), .sotw, cds: nil) == [])
    }

    @Test("what a guard keeps from clients is no drift")
    func held() throws {
        let h = HomeHarness(.sotw)
        h.join()
        h.want(.cds, wildcard: true)
        h.open()
        h.sotw(.cds, "1", "n1", (0..<10).map { "c\($0)@1" })
        h.sotw(.cds, "2", "n2", [])
        #expect(h.group.typeStatuses[0].hold != nil)
        let probe = try #require(h.group.driftProbe(ofStream: 0))
        _ = probe.receive(self.answer(.cds, .sotw, []).span, now: h.now)
        #expect(h.group.differences(from: probe).count == 0)
    }

    @Test("what has its own time, must not be cached or cannot be read is not compared")
    func unclear() throws {
        let h = self.group(.delta)
        h.delta(
            .cds, "n3",
            raw: [
                HomeHarness.envelope("a", "1", HomeHarness.any(.cds, "a@3"), ttl: true),
                HomeHarness.envelope("b", "1", HomeHarness.any(.cds, "b@3"), uncached: true),
            ])
        #expect(try self.compare(h, .delta, cds: []) == [])
        let fresh = self.group(.delta)
        let probe = try #require(fresh.group.driftProbe(ofStream: 0))
        let odd = [
            HomeHarness.envelope("a", "1", HomeHarness.any(.cds, "a@3"), ttl: true),
            HomeHarness.envelope("b", "1", HomeHarness.any(.eds, "b@3")),
        ]
        _ = probe.receive(self.answer(.cds, .delta, [], raw: odd).span, now: fresh.now)
        #expect(fresh.group.differences(from: probe).count == 0)
        #expect(probe.failure == nil)
        _ = probe.receive([0xFF].span, now: fresh.now)
        #expect(probe.failure != nil && probe.isComplete(at: fresh.now))
    }

    @Test("nothing is compared that the control plane in use has not said")
    func nothing() {
        let h = HomeHarness(.delta)
        h.join()
        h.want(.cds, wildcard: true)
        #expect(h.group.driftProbe(ofStream: 0) == nil)
        h.open()
        #expect(h.group.driftProbe(ofStream: 0) == nil)
        h.delta(.cds, "n1", ["a@1"])
        #expect(h.group.driftProbe(ofStream: 0) != nil)
        #expect(h.group.server(ofStream: 0) == "one")
        h.lose()
        #expect(h.group.driftProbe(ofStream: 0) == nil && h.group.server(ofStream: 0) == nil)
        h.group.streamOpened(0, server: "sibling", now: h.now, isBorrowed: true)
        #expect(h.group.driftProbe(ofStream: 0) == nil)
    }

    @Test("a look is complete when all that is held was mentioned and nothing more came for a moment")
    func complete() throws {
        let h = self.group(.sotw)
        let probe = try #require(h.group.driftProbe(ofStream: 0))
        let later = h.now + DriftProbe.settleTime
        #expect(!probe.isComplete(at: later) && !probe.wasAnswered)
        _ = probe.receive(self.answer(.cds, .sotw, ["a@1", "b@1"]).span, now: h.now)
        _ = probe.receive(self.answer(.eds, .sotw, ["x@1"]).span, now: h.now)
        #expect(!probe.isComplete(at: later) && probe.wasAnswered)
        _ = probe.receive(self.answer(.eds, .sotw, ["y@1"]).span, now: h.now)
        #expect(!probe.isComplete(at: h.now) && probe.isComplete(at: later))
    }

    @Test("a difference lasts if it is there again and the group was told nothing of the name")
    func lasting() throws {
        let h = self.group(.delta)
        func look(_ cds: [String]) throws -> [DriftDifference] {
            let probe = try #require(h.group.driftProbe(ofStream: 0))
            _ = probe.receive(self.answer(.cds, .delta, cds).span, now: h.now)
            return h.group.differences(from: probe).first
        }
        let first = try look(["a@2", "b@2", "c@2"])
        #expect(first.count == 3)
        // The control plane has moved on, and the group still has the old one.
        #expect(try self.texts(DriftDifference.lasting(first, look(["a@3", "b@1", "c@2"]))).count == 2)
        // The group was told of it, and something newer is on its way.
        h.delta(.cds, "n3", ["a@2", "c@2"])
        #expect(try self.texts(DriftDifference.lasting(first, look(["a@3", "b@2", "c@3"]))) == ["cds b different"])
        #expect(try DriftDifference.lasting(first, look(["a@2", "b@1", "c@2"])).isEmpty)
    }

    @Test("differences are kept up to a bound, and all are counted")
    func bound() throws {
        let h = HomeHarness(.delta)
        h.join()
        h.want(.cds, wildcard: true)
        h.open()
        h.delta(.cds, "n1", (0..<1500).map { "c\($0)@1" })
        let probe = try #require(h.group.driftProbe(ofStream: 0))
        _ = probe.receive(self.answer(.cds, .delta, []).span, now: h.now)
        let found = h.group.differences(from: probe)
        #expect(found.count == 1500 && found.first.count == DriftDifference.countMax)
    }
}

@Suite("When groups are looked at for drift")
struct DriftScheduleTests {
    private let start = Instant(rawValue: 1_000_000_000)

    private func units(_ count: Int) -> [DriftUnit] {
        (0..<count).map { DriftUnit(key: "k\($0)", upstream: "u", stream: 0) }
    }

    /// What is taken in a time, looked at every 10 ms: when, and what.
    private func play(
        _ schedule: inout DriftSchedule, _ units: [DriftUnit], for span: Nanoseconds
    ) -> [(at: Instant, task: DriftTask)] {
        var taken: [(Instant, DriftTask)] = []
        var now = self.start
        while now < self.start + span {
            if let task = schedule.take(now, units: { units }) { taken.append((now, task)) }
            now = now + .milliseconds(10)
        }
        return taken
    }

    @Test("each group is looked at once in an interval, spread over it, in an order of its own")
    func spread() {
        var schedule = DriftSchedule(interval: .seconds(60), seed: 7)
        let taken = self.play(&schedule, self.units(20), for: .seconds(120))
        #expect((30...48).contains(taken.count))
        #expect(Set(taken.prefix(20).map(\.task.unit)).count == 20)
        #expect(taken.prefix(20).map(\.task.unit) != self.units(20))
        for (a, b) in zip(taken, taken.dropFirst()) {
            #expect(b.at - a.at >= .milliseconds(2250) && b.at - a.at <= .milliseconds(3760))
        }
        #expect(taken.allSatisfy { $0.task.earlier == nil })
    }

    @Test("ten thousand groups are no storm")
    func many() {
        var schedule = DriftSchedule(interval: .seconds(1), seed: 7)
        let taken = self.play(&schedule, self.units(10_000), for: .seconds(10))
        #expect((80...134).contains(taken.count))
    }

    @Test("what is asked for comes first and in time, also without an interval; nothing else does")
    func dated() {
        var schedule = DriftSchedule(interval: .zero, seed: 7)
        let units = self.units(3)
        #expect(self.play(&schedule, units, for: .seconds(5)).isEmpty)
        schedule.look(DriftTask(unit: units[1], earlier: []), at: self.start + .seconds(2))
        schedule.look(DriftTask(unit: units[0]), at: self.start + .seconds(1))
        schedule.look(DriftTask(unit: units[0]), at: self.start + .seconds(3))
        schedule.look(DriftTask(unit: units[2]), at: self.start + .seconds(1))
        schedule.forget(units[2])
        let taken = self.play(&schedule, units, for: .seconds(5))
        #expect(taken.map(\.task.unit) == [units[1], units[0]])
        #expect(taken.map { $0.task.earlier != nil } == [true, false])
        #expect(taken.map { $0.at - self.start } == [.seconds(2), .seconds(3)])
    }

    @Test("second looks are bounded, and a unit that waits for one is left out of its turn")
    func bounded() {
        var schedule = DriftSchedule(interval: .seconds(1), seed: 7)
        for unit in self.units(DriftSchedule.datedMax + 5) {
            schedule.look(DriftTask(unit: unit), at: self.start + .seconds(100))
        }
        let taken = self.play(&schedule, self.units(3), for: .seconds(3))
        #expect(taken.isEmpty)
        schedule.set(interval: .zero)
        #expect(self.play(&schedule, [DriftUnit(key: "other", upstream: "u", stream: 0)], for: .seconds(3)).isEmpty)
    }
}
