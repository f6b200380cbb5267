import Testing
import WeirBase
import WeirXDS

@testable import WeirEngine

/// What becomes of holds when the relay is started again with a store.
@Suite struct StoredHoldTests {
    private static let ten = (0..<10).map { "c\($0)@1" }

    /// What a store would give back, and the group that it came from.
    private func stored(_ variant: ProtocolVariant, _ play: (HomeHarness) throws -> Void) rethrows -> [RestoredType] {
        let h = HomeHarness(variant) { $0.isStored = true }
        h.join()
        h.want(.cds, wildcard: true)
        h.open()
        try play(h)
        return Self.take(h)
    }

    private static func take(_ h: HomeHarness) -> [RestoredType] {
        h.group.takeStoreUpdates().compactMap { update in
            var entries: [String: StoredEntry] = [:]
            for batch in update.batches {
                for change in batch.changes {
                    entries[change.name] =
                        change.presence.resource == nil
                        ? nil
                        : StoredEntry(
                            lane: change.lane, name: change.name, presence: change.presence, source: batch.source)
                }
            }
            return update.head.map {
                RestoredType(
                    typeURL: update.typeURL, head: $0, entries: entries.sorted { $0.key < $1.key }.map(\.value))
            }
        }
    }

    private func start(_ variant: ProtocolVariant, _ stored: [RestoredType]) -> HomeHarness {
        let h = HomeHarness(variant) { $0.isStored = true }
        h.group.restore(stored)
        h.join()
        h.want(.cds, wildcard: true)
        return h
    }

    private func answer(_ h: HomeHarness, _ variant: ProtocolVariant, _ resources: [String]) {
        if variant == .sotw { return h.sotw(.cds, "9", "n9", resources) }
        let gone = Self.ten.map { $0.prefix(2) }.filter { name in !resources.contains { $0.hasPrefix(name) } }
        h.delta(.cds, "n9", resources, removed: gone.map(String.init))
    }

    private func hold(_ h: HomeHarness) -> HoldStatus? { h.group.typeStatuses.first?.hold }

    private static let both = [ProtocolVariant.sotw, .delta]

    @Test(
        "AGG-08 UP-19 what is stored while a guard holds is what clients have, and the guard compares with that",
        arguments: both)
    func guarded(_ variant: ProtocolVariant) {
        let stored = self.stored(variant) { h in
            self.answer(h, variant, Self.ten)
            self.answer(h, variant, [])
            #expect(self.hold(h)?.reason == .empty)
        }
        #expect(stored.first?.entries.count == 10 && stored.first?.head.hold == nil)
        let h = self.start(variant, stored)
        h.open()
        self.answer(h, variant, [])
        #expect(self.hold(h)?.reason == .empty && self.hold(h)?.changes == 10)
        #expect(h.takeUpdates() == ["full " + Self.ten.joined(separator: " ")])
        #expect(!h.group.hasStoreUpdates)
    }

    @Test("AGG-08 an operator's hold is stored with what clients have, and goes on", arguments: both, [false, true])
    func byOperator(_ variant: ProtocolVariant, isRollback: Bool) throws {
        let url = XDSType.cds.typeURL
        let stored = try self.stored(variant) { h in
            self.answer(h, variant, Self.ten)
            if isRollback {
                self.answer(h, variant, Self.ten.dropLast() + ["c9@2"])
                _ = try h.group.rollBack(typeURL: url, to: nil, by: "me", now: h.now, wall: WallTime(rawValue: 5))
            } else {
                try h.group.hold(typeURL: url, by: "me", now: h.now, wall: WallTime(rawValue: 5))
            }
        }
        let head = try #require(stored.first?.head)
        #expect(head.hold?.since == WallTime(rawValue: 5) && head.hold?.detail.contains("me") == true)
        // A server that knew the version would say nothing of what is newer.
        #expect(head.wildcard?.acceptedVersion == "" && head.wildcard?.acceptedFrom == "")
        let h = self.start(variant, stored)
        #expect(self.hold(h)?.reason == .operator && self.hold(h)?.since == WallTime(rawValue: 5))
        h.open()
        #expect(h.takeRequests().allSatisfy { !$0.contains("irv") && !$0.contains("v=9") })
        self.answer(h, variant, Self.ten.dropLast() + ["c9@2", "d@1"])
        #expect(h.takeUpdates() == ["full " + Self.ten.joined(separator: " ")])
        #expect(self.hold(h)?.changes == 2 && !h.group.hasStoreUpdates)
        // Released, it is stored no more.
        try h.group.release(typeURL: url, by: "me", now: h.now, wall: WallTime(rawValue: 6))
        h.collect()
        #expect(h.takeUpdates() == ["c9@2 d@1"])
        // Once the full answer of the new stream is over.
        h.advance(.seconds(1))
        let after = Self.take(h)
        #expect(after.first?.head.hold == nil && after.first?.entries.count == 11)
    }
}
