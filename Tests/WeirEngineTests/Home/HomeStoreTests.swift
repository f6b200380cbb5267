import Testing
import WeirBase
import WeirXDS

@testable import WeirEngine

@Suite("What a group hands to the store and takes from it")
struct HomeStoreTests {
    private func home(_ variant: ProtocolVariant = .delta, secrets: Bool = false) -> HomeHarness {
        HomeHarness(variant) {
            $0.isStored = true
            $0.storesSecrets = secrets
        }
    }

    /// The changes handed over since the last call: type, whether the wildcard is replaced, and the changes.
    private func stored(_ h: HomeHarness) -> [String] {
        h.group.takeStoreUpdates().map { update in
            let changes = update.batches.flatMap(\.changes).map { change -> String in
                let lane = change.lane == .named ? "'" : ""
                if let resource = change.presence.resource {
                    return "\(lane)\(change.name)@\(HomeHarness.content(resource))"
                }
                if case .absent = change.presence { return "\(lane)-\(change.name)" }
                return "\(lane)?\(change.name)"
            }
            let label = XDSType.of(typeURL: update.typeURL).label
            return "\(label)\(update.replacesWildcard ? " whole" : "") \(changes.joined(separator: " "))"
        }.sorted()
    }

    /// What a store would give back of a group that was told this.
    private func restored(_ variant: ProtocolVariant, _ play: (HomeHarness) -> Void) -> [RestoredType] {
        let h = self.home(variant)
        h.join()
        play(h)
        return h.group.takeStoreUpdates().map { update in
            var entries: [String: StoredEntry] = [:]
            for batch in update.batches {
                for change in batch.changes {
                    let key = "\(change.lane) \(change.name)"
                    entries[key] = StoredEntry(
                        lane: change.lane, name: change.name, presence: change.presence,
                        collection: change.collection, source: batch.source)
                    if change.lane == .wildcard, change.presence.resource == nil { entries[key] = nil }
                }
            }
            return RestoredType(
                typeURL: update.typeURL,
                head: update.head
                    ?? StoredHead(variant: variant, wildcard: nil, named: nil, equalVersions: [], updated: nil),
                entries: entries.sorted { $0.key < $1.key }.map(\.value))
        }
    }

    private func clusters(_ variant: ProtocolVariant = .delta) -> [RestoredType] {
        self.restored(variant) { h in
            h.want(.cds, wildcard: true)
            h.want(.eds, ["x", "gone"])
            h.open()
            if variant == .delta {
                h.delta(.cds, "n1", ["a@1", "b@1"])
                h.delta(.eds, "n2", ["x@1"], removed: ["gone"])
            } else {
                h.sotw(.cds, "7", "n1", ["a@1", "b@1"])
                h.sotw(.eds, "7", "n2", ["x@1"])
            }
        }
    }

    // MARK: To the store

    @Test("the first answer to a wildcard is handed over as a whole, later ones as what changed")
    func changes() {
        let h = self.home()
        h.join()
        h.want(.cds, wildcard: true)
        h.open()
        h.delta(.cds, "n1", ["a@1", "b@1"])
        #expect(self.stored(h) == ["cds whole a@1 b@1"])
        h.delta(.cds, "n2", ["a@2"], removed: ["b"])
        #expect(self.stored(h) == ["cds a@2 -b"])
        // The same under another version: no content.
        h.delta(.cds, "n3", ["a@2"])
        #expect(self.stored(h) == ["cds "])
    }

    @Test("without a store, and for secrets unless they are wanted, nothing gathers")
    func nothing() {
        for (h, expected) in [
            (HomeHarness(.delta), []), (self.home(), []), (self.home(secrets: true), ["sds 's@1"]),
        ] {
            h.join()
            h.want(.sds, ["s"])
            h.open()
            h.delta(.sds, "n1", ["s@1"])
            #expect(self.stored(h) == expected)
        }
    }

    @Test("a new version of the same content is handed over without content")
    func versions() {
        let h = self.home(.sotw)
        h.join()
        h.want(.cds, wildcard: true)
        h.open()
        h.sotw(.cds, "1", "n1", ["a@1"])
        _ = self.stored(h)
        h.sotw(.cds, "2", "n2", ["a@1"])
        let updates = h.group.takeStoreUpdates()
        #expect(updates.count == 1 && updates[0].batches.flatMap(\.changes).isEmpty)
        #expect(updates[0].head?.wildcard?.version == "1" && updates[0].head?.equalVersions == ["2"])
        #expect(updates[0].head?.wildcard?.acceptedVersion == "2")
    }

    @Test("what lingers out stays stored when all have left, and is removed when one name is given up among others")
    func linger() {
        let h = self.home()
        h.join()
        h.want(.eds, ["x", "y"])
        h.open()
        h.delta(.eds, "n1", ["x@1", "y@1"])
        _ = self.stored(h)
        h.want(.eds, removing: ["y"])
        h.advance(.seconds(3))
        #expect(self.stored(h) == ["eds '?y"])
        h.leave()
        h.advance(.seconds(3))
        #expect(self.stored(h) == [] && h.isIdle)
    }

    @Test("what came from a sibling relay is stored when the control plane has confirmed the last of it")
    func borrowed() {
        let h = self.home()
        h.join()
        h.want(.cds, wildcard: true)
        h.group.streamOpened(0, server: "sibling", now: h.now, isBorrowed: true)
        h.collect()
        h.delta(.cds, "n1", ["a@1", "b@1"])
        #expect(h.takeUpdates() == ["a@1 b@1"] && self.stored(h) == [])
        h.group.offerEverythingToStore()
        #expect(self.stored(h) == [])
        h.lose()
        h.open(server: "origin")
        h.delta(.cds, "n2", ["a@1"])
        #expect(self.stored(h) == [])
        h.advance(.seconds(1))
        #expect(h.takeUpdates().last == "-b" && self.stored(h) == ["cds whole a@1"])
        h.delta(.cds, "n3", ["c@1"])
        #expect(self.stored(h) == ["cds c@1"])
    }

    // MARK: From the store

    @Test("what a sibling relay says confirms nothing that was stored")
    func borrowedConfirmsNothing() {
        let h = self.home()
        h.group.restore(self.clusters())
        h.join()
        h.want(.eds, ["new"])
        h.group.streamOpened(0, server: "sibling", now: h.now, isBorrowed: true)
        h.collect()
        h.delta(.eds, "n1", ["new@1"])
        h.want(.eds, ["x"])
        #expect(h.takeUpdates() == ["'new@1", "'x@1"] && h.group.isStale)
        _ = h.takeRequests()
        h.lose()
        h.open(server: "one")
        // Versions of the sibling are not the control plane's.
        #expect(!h.takeRequests().joined().contains("new@1"))
    }

    @Test("AGG-08 what was stored is shown as soon as the control plane is known to be away, and not before")
    func unavailable() {
        let h = self.home()
        h.group.restore(self.clusters())
        h.join()
        h.want(.cds, wildcard: true)
        h.want(.eds, ["x", "gone", "new"])
        #expect(h.takeUpdates() == [] && h.group.isStale)
        h.group.originUnavailable(server: "one", error: "refused")
        h.advance(.milliseconds(1))
        #expect(h.takeUpdates() == ["a@1 b@1", "'-gone 'x@1"])
        // Later wishes are answered at once.
        h.join(1)
        h.want(.cds, wildcard: true, worker: 1)
        #expect(h.takeUpdates(workers: 2) == ["a@1 b@1"])
        #expect(self.stored(h) == [])
    }

    @Test("AGG-08 a control plane that says nothing delays what was stored for a moment only")
    func silence() {
        let h = self.home()
        h.group.restore(self.clusters())
        h.join()
        h.want(.cds, wildcard: true)
        h.open()
        h.advance(.milliseconds(300))
        #expect(h.takeUpdates() == [])
        h.advance(.milliseconds(300))
        #expect(h.takeUpdates() == ["a@1 b@1"])
    }

    @Test("UP-08 AGG-09 the control plane is asked for the difference, and its answer is the first that clients see")
    func difference() {
        let h = self.home()
        h.group.restore(self.clusters())
        h.join()
        h.want(.cds, wildcard: true)
        h.want(.eds, ["x"])
        h.open()
        #expect(h.takeRequests() == ["0 node cds irv=a@1,b@1", "0 eds +x irv=x@1"])
        h.delta(.cds, "n1", ["b@2"])
        #expect(h.takeUpdates() == ["full a@1 b@2"])
        #expect(self.stored(h) == ["cds b@2"])
        #expect(h.group.typeStatuses.map(\.isStale) == [false, true])
    }

    @Test("UP-09 AGG-10 another server is told nothing of versions, and what it does not mention goes")
    func otherServer() {
        let h = self.home()
        h.group.restore(self.clusters())
        h.join()
        h.want(.cds, wildcard: true)
        h.open(server: "two")
        #expect(h.takeRequests() == ["0 node cds"])
        h.delta(.cds, "n1", ["a@1"])
        h.advance(.seconds(1))
        #expect(h.takeUpdates() == ["a@1 b@1", "-b"])
        #expect(self.stored(h) == ["cds -b"])
    }

    @Test("AGG-10 what was stored of several servers leaves no doubt of what the last of them ignored")
    func mixedServers() {
        let stored = self.restored(.delta) { h in
            h.want(.cds, wildcard: true)
            h.open(server: "one")
            h.delta(.cds, "n1", ["keep@1"])
            h.lose()
            h.open(server: "two")
            h.delta(.cds, "n1", ["keep@1", "a@1"])
        }
        let h = self.home()
        h.group.restore(stored)
        h.join()
        h.want(.cds, wildcard: true)
        h.open(server: "two")
        // Had it been told of `a` alone, nobody could tell whether it ignored that.
        #expect(h.takeRequests() == ["0 node cds"])
        h.delta(.cds, "n1", ["keep@1"])
        h.advance(.seconds(1))
        #expect(h.takeUpdates() == ["a@1 keep@1", "-a"])
    }

    @Test("UP-08 what was stored as a whole is known to be its server's")
    func wholeSource() {
        let stored = self.restored(.delta) { h in
            h.want(.cds, wildcard: true)
            h.want(.eds, ["x"])
            h.open()
            h.delta(.cds, "n1", ["a@1", "b@1"])
            h.delta(.eds, "n2", ["x@1"])
            h.group.offerEverythingToStore()
        }
        let h = self.home()
        h.group.restore(stored)
        h.join()
        h.want(.cds, wildcard: true)
        h.want(.eds, ["x"])
        h.open()
        #expect(h.takeRequests() == ["0 node cds irv=a@1,b@1", "0 eds +x irv=x@1"])
    }

    @Test("XLT-06 SotW versions are those of before, and an answer of the same server names them")
    func sotw() {
        let h = self.home(.sotw)
        h.group.restore(self.clusters(.sotw))
        h.join()
        h.want(.cds, wildcard: true)
        h.open()
        #expect(h.takeRequests() == ["0 node cds v=7 n= []"])
        h.sotw(.cds, "7", "n1", ["a@1", "b@1"])
        #expect(h.takeUpdates() == ["a@1 b@1"] && h.group.typeStatuses[0].version == "7")
        #expect(self.stored(h) == [])
    }

    @Test("what was spoken last is spoken as long as no server has said otherwise")
    func variant() {
        let h = self.home(.delta)
        h.group.restore(self.clusters(.sotw))
        #expect(h.group.variant == .sotw)
    }

    @Test("what was stored never replaces what is known, and is forgotten once the control plane has spoken")
    func newer() {
        let h = self.home()
        h.group.restore(self.clusters())
        h.join()
        h.want(.eds, ["other"])
        h.open()
        h.delta(.eds, "n1", ["other@1"])
        h.want(.eds, ["x"])
        #expect(h.takeUpdates() == ["'other@1"])
        // Not before anything is wanted, and never a second time.
        h.group.restore(self.clusters())
        h.want(.cds, wildcard: true)
        #expect(h.takeUpdates() == [])
    }

    @Test("everything is offered where changes were lost")
    func everything() {
        let h = self.home()
        h.join()
        h.want(.cds, wildcard: true)
        h.want(.eds, ["x", "y"])
        h.open()
        h.delta(.cds, "n1", ["a@1"])
        h.delta(.eds, "n2", ["x@1"], removed: ["y"])
        _ = self.stored(h)
        h.group.offerEverythingToStore()
        #expect(self.stored(h) == ["cds whole a@1", "eds 'x@1 '-y"])
    }
}
