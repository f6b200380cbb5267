import Testing
import WeirBase
import WeirXDS

@testable import WeirEngine

/// What guards make of what a control plane says: seen from the workers.
@Suite struct GuardTests {
    private static let ten = (0..<10).map { "c\($0)@1" }

    /// A group with ten clusters.
    private func group(_ change: (inout GuardPolicy) -> Void = { _ in }) -> HomeHarness {
        let h = HomeHarness(.sotw) { change(&$0.guards) }
        h.join()
        h.want(.cds, wildcard: true)
        h.open()
        h.sotw(.cds, "1", "n1", Self.ten)
        _ = h.takeRequests()
        _ = h.takeUpdates()
        return h
    }

    private func status(_ h: HomeHarness, _ type: XDSType = .cds) -> OriginTypeStatus? {
        h.group.typeStatuses.first { $0.type == type }
    }

    @Test("UP-19 a push that would remove everything is acknowledged and held; clients, also new ones, keep what was")
    func emptyPush() {
        let h = self.group()
        h.sotw(.cds, "2", "n2", [])
        #expect(h.takeRequests() == ["0 cds v=2 n=n2 []"])
        #expect(h.takeUpdates() == [])
        #expect(self.status(h)?.hold?.reason == .empty)
        #expect(self.status(h)?.hold?.version == "2" && self.status(h)?.version == "1")
        #expect(self.status(h)?.resources == 10 && h.group.resources(typeURL: XDSType.cds.typeURL).count == 10)
        h.join(1)
        h.want(.cds, wildcard: true, worker: 1)
        #expect(h.takeUpdates(workers: 2) == ["full " + Self.ten.joined(separator: " ")])
    }

    @Test("UP-19 a set below empty_push_min may become empty, and any may where it is allowed")
    func smallSet() {
        let h = self.group()
        h.sotw(.cds, "2", "n2", Array(Self.ten.dropLast()))
        h.advance(GuardPolicy.window)
        h.sotw(.cds, "3", "n3", [])
        #expect(h.takeUpdates().count == 2 && self.status(h)?.hold == nil)
        let open = self.group { $0.holdsEmpty = false }
        open.sotw(.cds, "2", "n2", [])
        #expect(open.takeUpdates() == [(0..<10).map { "-c\($0)" }.joined(separator: " ")])
    }

    @Test("UP-19 a later set releases what is held, and clients hear of the difference to what they have")
    func laterSet() {
        let h = self.group()
        h.sotw(.cds, "2", "n2", [])
        h.sotw(.cds, "3", "n3", Self.ten.dropLast(2) + ["c8@2", "d@1"])
        #expect(h.takeUpdates() == ["c8@2 -c9 d@1"])
        #expect(self.status(h)?.hold == nil && self.status(h)?.version == "3")
        #expect(h.events.contains { if case .released(_, .empty, _, _) = $0 { true } else { false } })
    }

    @Test("UP-19 the same set again ends the hold without a word, and keeps the version clients know")
    func sameSet() {
        let h = self.group()
        h.sotw(.cds, "2", "n2", [])
        h.sotw(.cds, "3", "n3", Self.ten)
        #expect(h.takeUpdates() == [""])
        #expect(self.status(h)?.hold == nil && self.status(h)?.version == "1")
        h.sotw(.cds, "4", "n4", Self.ten.dropLast() + ["c9@4"])
        #expect(h.takeUpdates() == ["c9@4"])
        #expect(self.status(h)?.version == "4")
    }

    @Test("UP-19 removals that come one after the other within a moment count as one")
    func piecemeal() {
        let h = HomeHarness(.delta)
        h.join()
        h.want(.lds, wildcard: true)
        h.open()
        h.delta(.lds, "n1", Self.ten)
        _ = h.takeUpdates()
        for i in 0..<10 { h.delta(.lds, "r\(i)", removed: ["c\(i)"]) }
        #expect(h.takeUpdates() == (0..<9).map { "-c\($0)" })
        #expect(self.status(h, .lds)?.hold?.reason == .empty)
        #expect(h.takeRequests().suffix(10) == (0..<10).map { "0 lds n=r\($0)" })
    }

    @Test("what came and went and came again is not counted twice")
    func flapping() {
        let h = HomeHarness(.delta)
        h.join()
        h.want(.lds, wildcard: true)
        h.open()
        let six = (0..<6).map { "c\($0)@1" }
        for round in 0..<3 {
            h.delta(.lds, "a\(round)", six)
            h.delta(.lds, "b\(round)", removed: (0..<6).map { "c\($0)" })
        }
        #expect(self.status(h, .lds)?.hold == nil)
    }

    @Test("a push that removes at least shrink_percent of a set is held, one that removes less is not")
    func shrink() {
        let h = self.group { $0.shrinkPercent = 50 }
        h.sotw(.cds, "2", "n2", Array(Self.ten.dropLast(4)))
        #expect(h.takeUpdates() == ["-c6 -c7 -c8 -c9"])
        h.advance(GuardPolicy.window)
        h.sotw(.cds, "3", "n3", Self.ten)
        _ = h.takeUpdates()
        h.sotw(.cds, "4", "n4", Array(Self.ten.dropLast(5)))
        #expect(h.takeUpdates() == [])
        #expect(self.status(h)?.hold?.reason == .shrink)
        // One reason may take another's place.
        h.sotw(.cds, "5", "n5", [])
        #expect(self.status(h)?.hold?.reason == .empty)
        h.sotw(.cds, "6", "n6", Array(Self.ten.dropLast(4)))
        #expect(h.takeUpdates() == ["-c6 -c7 -c8 -c9"])
    }

    @Test("types that are not always sent whole have no set that could become empty")
    func namedType() {
        let h = HomeHarness(.delta)
        h.join()
        h.want(.eds, (0..<10).map { "c\($0)" })
        h.open()
        h.delta(.eds, "n1", Self.ten)
        _ = h.takeUpdates()
        h.delta(.eds, "n2", removed: (0..<10).map { "c\($0)" })
        #expect(h.takeUpdates().count == 1 && self.status(h, .eds)?.hold == nil)
    }

    @Test("what the configuration allows is released")
    func allowed() {
        let h = self.group()
        h.sotw(.cds, "2", "n2", [])
        var policy = GuardPolicy()
        policy.holdsEmpty = false
        h.group.setGuards(policy, now: h.now, wall: WallTime(rawValue: 0))
        h.collect()
        #expect(h.takeUpdates() == [(0..<10).map { "-c\($0)" }.joined(separator: " ")])
        #expect(self.status(h)?.hold == nil)
    }

    @Test("an operator's release gives clients the newest state, be it empty")
    func release() throws {
        let h = self.group()
        h.sotw(.cds, "2", "n2", [])
        try h.release(.cds)
        #expect(h.takeUpdates() == [(0..<10).map { "-c\($0)" }.joined(separator: " ")])
        #expect(throws: CommandRefusal.self) { try h.release(.cds) }
    }

    @Test("an operator's hold keeps the newest state until its release; names that were never answered are answered")
    func operatorHold() throws {
        let h = HomeHarness(.delta)
        h.join()
        h.want(.eds, ["a", "b"])
        h.open()
        h.delta(.eds, "n1", ["a@1", "b@1"])
        _ = h.takeUpdates()
        try h.hold(.eds)
        h.delta(.eds, "n2", ["a@2"])
        h.delta(.eds, "n3", ["a@3", "b@3"])
        h.delta(.eds, "n4", removed: ["b"])
        #expect(h.takeUpdates() == [])
        h.want(.eds, ["c"])
        h.delta(.eds, "n5", ["c@1"])
        #expect(h.takeUpdates() == ["'c@1"])
        h.delta(.eds, "n6", ["c@2"])
        #expect(h.takeUpdates() == [])
        #expect(self.status(h, .eds)?.hold?.changes == 3)
        try h.release(.eds)
        #expect(h.takeUpdates() == ["'a@3 '-b 'c@2"])
    }

    @Test("a name that is given up while held is forgotten, and answered anew when it is asked for again")
    func givenUp() throws {
        let h = HomeHarness(.delta)
        h.join()
        h.want(.eds, ["a", "b"])
        h.open()
        h.delta(.eds, "n1", ["a@1", "b@1"])
        try h.hold(.eds)
        h.delta(.eds, "n2", ["a@2"])
        h.want(.eds, removing: ["a"])
        h.advance(.seconds(3))
        _ = h.takeUpdates()
        h.want(.eds, ["a"])
        h.delta(.eds, "n3", ["a@2"])
        #expect(h.takeUpdates() == ["'a@2"])
        #expect(self.status(h, .eds)?.hold?.changes == 0)
    }

    @Test("what nobody subscribes to any more is not held any more")
    func forgotten() {
        let h = self.group()
        h.sotw(.cds, "2", "n2", [])
        h.want(.cds, wildcard: false)
        h.advance(.seconds(3))
        #expect(self.status(h) == nil)
        #expect(h.events.contains { if case .released(_, .empty, _, _) = $0 { true } else { false } })
    }

    // MARK: Earlier states

    @Test("a rollback takes clients to an earlier state and keeps them there; release brings the newest")
    func rollBack() throws {
        let h = self.group()
        h.sotw(.cds, "2", "n2", Self.ten.dropLast() + ["c9@2"])
        h.sotw(.cds, "3", "n3", Self.ten.dropLast(2) + ["c8@3", "d@3"])
        _ = h.takeUpdates()
        #expect(self.status(h)?.past.map(\.version) == ["2", "1"])
        #expect(try h.rollBack(.cds) == "2")
        #expect(h.takeUpdates() == ["c8@1 c9@2 -d"])
        #expect(self.status(h)?.hold?.reason == .operator && self.status(h)?.version == "2")
        #expect(try h.rollBack(.cds) == "1")
        #expect(h.takeUpdates() == ["c9@1"])
        h.sotw(.cds, "4", "n4", Self.ten.dropLast(2) + ["c8@4", "d@3"])
        #expect(h.takeUpdates() == [])
        try h.release(.cds)
        #expect(h.takeUpdates() == ["c8@4 -c9 d@3"])
        #expect(self.status(h)?.version == "4" && self.status(h)?.hold == nil)
    }

    @Test("SOTW-18 a set given up by all and asked for anew does not go by the version of the rollback")
    func rollBackOfWhatIsGivenUp() throws {
        let h = self.group()
        h.want(.cds, ["named"])
        h.sotw(.cds, "2", "n2", Self.ten.dropLast() + ["c9@2"])
        _ = try h.rollBack(.cds)
        #expect(self.status(h)?.version == "1")
        h.want(.cds, wildcard: false)
        h.advance(.seconds(3))
        h.want(.cds, wildcard: true)
        h.open()
        h.sotw(.cds, "3", "n3", Self.ten.dropLast() + ["c9@3"])
        #expect(self.status(h)?.hold?.reason == .operator && self.status(h)?.version == "3")
        h.sotw(.cds, "4", "n4", Self.ten)
        #expect(self.status(h)?.version == "3")
    }

    @Test("a rollback names the version it is to go to; one that is not kept is an error that tells those that are")
    func rollBackTo() throws {
        let h = self.group { $0.historyMax = 2 }
        for i in 2...5 { h.sotw(.cds, "\(i)", "n\(i)", Self.ten.dropLast() + ["c9@\(i)"]) }
        _ = h.takeUpdates()
        #expect(self.status(h)?.past.map(\.version) == ["4", "3"])
        let refusal = #expect(throws: CommandRefusal.self) { try h.rollBack(.cds, to: "1") }
        #expect(refusal?.kind == .notFound)
        #expect(refusal?.message.contains("kept are \"4\", \"3\", newest first") == true)
        _ = try h.rollBack(.cds, to: "3")
        #expect(h.takeUpdates() == ["c9@3"])
        h.join(1)
        h.want(.cds, wildcard: true, worker: 1)
        #expect(h.takeUpdates(workers: 2) == ["full " + (Self.ten.dropLast() + ["c9@3"]).joined(separator: " ")])
    }

    @Test("without an earlier state there is nothing to go back to")
    func nothingEarlier() {
        let h = self.group()
        let refusal = #expect(throws: CommandRefusal.self) { try h.rollBack(.cds) }
        #expect(refusal?.kind == .conflict)
        #expect(throws: CommandRefusal.self) { try h.rollBack(.lds) }
    }

    @Test("TTL-03 what is held lives no longer than it was to live, and a heartbeat for it keeps it alive")
    func timeToLive() throws {
        let h = HomeHarness(.delta)
        h.join()
        h.want(.eds, ["a", "b"])
        h.open()
        for name in ["a", "b"] {
            h.delta(
                .eds, "n\(name)", raw: [HomeHarness.envelope(name, "1", HomeHarness.any(.eds, "\(name)@1"), ttl: true)])
        }
        try h.hold(.eds)
        _ = h.takeUpdates()
        h.delta(.eds, "n2", raw: [HomeHarness.envelope("a", "2", HomeHarness.any(.eds, "a@2"), ttl: false)])
        h.advance(.seconds(3))
        h.delta(.eds, "n3", raw: [HomeHarness.envelope("b", "1", nil, ttl: true)])
        #expect(h.takeUpdates() == ["'b@1"])
        h.advance(.seconds(3))
        #expect(h.takeUpdates() == ["'-a"])
        h.advance(.seconds(3))
        #expect(h.takeUpdates() == ["'-b"])
        try h.release(.eds)
        #expect(h.takeUpdates() == ["'a@2"])
    }

    // MARK: Groups

    @Test("a refresh asks for everything again, as if nothing were held, and clients hear of the difference only")
    func refresh() {
        for variant in ProtocolVariant.allCases {
            let h = HomeHarness(variant)
            h.join()
            h.want(.cds, wildcard: true)
            h.open()
            if variant == .sotw {
                h.sotw(.cds, "1", "n1", ["a@1", "b@1"])
            } else {
                h.delta(.cds, "n1", ["a@1", "b@1"])
            }
            _ = h.takeUpdates()
            _ = h.takeRequests()
            h.group.refresh(now: h.now)
            h.collect()
            #expect(h.closed == [0] && h.opened == [0, 0])
            h.open()
            #expect(h.takeRequests() == [variant == .sotw ? "0 node cds v= n= []" : "0 node cds"])
            if variant == .sotw { h.sotw(.cds, "1", "m1", ["a@2"]) } else { h.delta(.cds, "m1", ["a@2"]) }
            h.advance(.seconds(1))
            #expect(h.takeUpdates().joined(separator: " ").split(separator: " ").sorted() == ["-b", "a@2"])
        }
    }

    @Test("a group is evicted once no streams use it")
    func evict() throws {
        let h = self.group()
        #expect(throws: CommandRefusal.self) { try h.group.evict(now: h.now, wall: WallTime(rawValue: 0)) }
        h.want(.cds, wildcard: false)
        h.leave()
        #expect(!h.isIdle)
        try h.group.evict(now: h.now, wall: WallTime(rawValue: 0))
        h.collect()
        #expect(h.isIdle && h.closed == [0])
    }
}

extension HomeHarness {
    func hold(_ type: XDSType) throws {
        try self.group.hold(typeURL: type.typeURL, by: "test", now: self.now, wall: WallTime(rawValue: 0))
        self.collect()
    }

    func release(_ type: XDSType) throws {
        try self.group.release(typeURL: type.typeURL, by: "test", now: self.now, wall: WallTime(rawValue: 0))
        self.collect()
    }

    func rollBack(_ type: XDSType, to version: String? = nil) throws -> String {
        defer { self.collect() }
        return try self.group.rollBack(
            typeURL: type.typeURL, to: version, by: "test", now: self.now, wall: WallTime(rawValue: 0))
    }
}
