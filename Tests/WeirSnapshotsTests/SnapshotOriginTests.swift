import Synchronization
import Testing
import WeirBase
import WeirEngine
import WeirXDS

@testable import WeirSnapshots

private func resource(_ type: XDSType, _ name: String, _ content: UInt8) -> SnapshotResource {
    var any = WireWriter()
    any.string(1, type.typeURL)
    any.message(2, [0x0A, 1, content])
    return SnapshotResource(typeURL: type.typeURL, name: name, any: any.bytes)
}

private func names(_ snapshot: Snapshot?, _ type: XDSType) -> [String]? {
    snapshot?.content(ofType: type.typeURL)?.resources.keys.sorted()
}

@Suite struct SnapshotTests {
    @Test("a whole snapshot knows that a type it does not mention is empty; one put together by types does not")
    func whole() {
        let whole = Snapshot([resource(.cds, "a", 1)], version: "7")
        #expect(names(whole, .cds) == ["a"])
        #expect(names(whole, .lds) == [])
        #expect(whole.content(ofType: XDSType.lds.typeURL)?.version == "7")
        var part = Snapshot()
        part.set([resource(.cds, "a", 1), resource(.eds, "no", 1)], ofType: XDSType.cds.typeURL, version: "8")
        #expect(names(part, .cds) == ["a"])
        #expect(names(part, .lds) == nil)
        #expect(names(part, .eds) == nil)
        part.set([], ofType: XDSType.cds.typeURL)
        #expect(names(part, .cds) == [])
    }

    @Test("a type that is forgotten is unknown until it is set again; of the others all is said as before")
    func forget() {
        var snapshot = Snapshot([resource(.cds, "a", 1), resource(.eds, "a", 1)])
        snapshot.forget(typeURL: XDSType.cds.typeURL)
        #expect(names(snapshot, .cds) == nil)
        #expect(names(snapshot, .eds) == ["a"])
        #expect(names(snapshot, .lds) == [])
        snapshot.set([], ofType: XDSType.cds.typeURL)
        #expect(names(snapshot, .cds) == [])
    }

    @Test("versions and digests are made of the content: independent of order, different for different content")
    func versions() {
        let first = Snapshot([resource(.cds, "a", 1), resource(.cds, "b", 2)])
        let same = Snapshot([resource(.cds, "b", 2), resource(.cds, "a", 1)])
        let swapped = Snapshot([resource(.cds, "b", 1), resource(.cds, "a", 2)])
        #expect(first.version == same.version)
        #expect(first.digest == same.digest)
        #expect(first.version != swapped.version)
        #expect(first.digest != swapped.digest)
        #expect(Snapshot([resource(.cds, "a", 1)], version: "1").digest != first.digest)
        // Another version is another snapshot, though its content is the same.
        let named = ["1", "2"].map { Snapshot([resource(.cds, "a", 1)], version: $0) }
        #expect(named[0].digest != named[1].digest)
        var part = Snapshot()
        part.set([resource(.cds, "a", 1)], ofType: XDSType.cds.typeURL, version: "1")
        #expect(part.digest != named[0].digest)
    }

    @Test("what two snapshots have in common is held once")
    func sharing() throws {
        let old = Snapshot([resource(.cds, "a", 1), resource(.cds, "b", 1), resource(.eds, "a", 1)])
        var new = Snapshot([resource(.cds, "a", 1), resource(.cds, "b", 2), resource(.eds, "a", 1)])
        new.share(with: old)
        func object(_ snapshot: Snapshot, _ type: XDSType, _ name: String) throws -> Resource {
            try #require(snapshot.content(ofType: type.typeURL)?.resources[name])
        }
        #expect(try object(old, .cds, "a") === object(new, .cds, "a"))
        #expect(try object(old, .eds, "a") === object(new, .eds, "a"))
        #expect(try object(old, .cds, "b") !== object(new, .cds, "b"))
        #expect(try !object(old, .cds, "b").isSame(as: object(new, .cds, "b")))
    }
}

/// Workers that are told, and whether their mailboxes have room.
private final class Workers: Sendable {
    let told = Mutex<[String]>([])
    let isFull = Atomic<Bool>(false)

    func tell(_ worker: Int, _ key: String) -> Bool {
        if self.isFull.load(ordering: .relaxed) { return false }
        self.told.withLock { $0.append("\(worker) \(key)") }
        return true
    }

    func take() -> [String] {
        self.told.withLock { told in
            defer { told = [] }
            return told
        }
    }
}

@Suite struct SnapshotOriginTests {
    private struct Refused: Error, Equatable {}

    private let workers = Workers()
    private let demands = Demands()

    private final class Demands: Sendable {
        let seen = Mutex<[String]>([])
    }

    private func origin() -> SnapshotOrigin {
        let (workers, demands) = (self.workers, self.demands)
        return SnapshotOrigin(
            kind: "test", tell: { workers.tell($0, $1) },
            demand: { key, isWanted in demands.seen.withLock { $0.append("\(isWanted ? "+" : "-")\(key)") } })
    }

    @Test("those who follow a key are told of each change of it, and of no other key")
    func follow() {
        let origin = self.origin()
        let state = origin.follow("a", worker: 3)
        #expect(state.snapshot == nil)
        #expect(state.trouble == "nothing was set for key \"a\" so far")
        origin.set(Snapshot([resource(.cds, "x", 1)], version: "1"), for: "a")
        origin.set(Snapshot([], version: "1"), for: "b")
        #expect(self.workers.take() == ["3 a"])
        #expect(names(origin.state(of: "a").snapshot, .cds) == ["x"])
        #expect(origin.version(of: "a", typeURL: XDSType.cds.typeURL) == "1")
        #expect(origin.follow("a", worker: 1).trouble == "")
        origin.set([resource(.cds, "y", 1)], ofType: XDSType.cds.typeURL, version: "2", for: "a")
        #expect(self.workers.take() == ["1 a", "3 a"])
        origin.unfollow("a", worker: 3)
        origin.remove("a")
        #expect(self.workers.take() == ["1 a"])
        #expect(origin.state(of: "a").trouble == "the snapshot of key \"a\" was removed")
        #expect(self.demands.seen.withLock { $0 } == ["+a"])
        origin.unfollow("a", worker: 1)
        origin.unfollow("a", worker: 1)
        #expect(self.demands.seen.withLock { $0 } == ["+a", "-a"])
        #expect(origin.states.keys.sorted() == ["b"])
    }

    @Test("a change that refuses what is there changes nothing and tells nobody")
    func conditional() throws {
        let origin = self.origin()
        origin.set(Snapshot([], version: "1"), for: "a")
        _ = origin.follow("a", worker: 0)
        #expect(throws: Refused()) {
            try origin.change("a", at: nil) { old throws(Refused) in
                if old != nil { throw Refused() }
                return Snapshot([], version: "2")
            }
        }
        #expect(origin.snapshot(for: "a")?.version == "1")
        #expect(self.workers.take() == [])
    }

    @Test("what cannot be made leaves the last snapshot; without one its reason is why there is none")
    func failure() {
        let origin = self.origin()
        _ = origin.follow("a", worker: 0)
        origin.fail("a", "broken")
        #expect(origin.state(of: "a").trouble == "broken")
        origin.set(Snapshot([], version: "1"), for: "a")
        origin.fail("a", "broken again")
        #expect(origin.state(of: "a").snapshot?.version == "1")
        #expect(origin.state(of: "a").trouble == "broken again")
        origin.set(Snapshot([], version: "2"), for: "a")
        #expect(origin.state(of: "a").trouble == "")
    }

    @Test("a worker whose mailbox is full is told later, once")
    func missed() {
        let origin = self.origin()
        _ = origin.follow("a", worker: 2)
        #expect(!origin.takeMissed(worker: 2))
        self.workers.isFull.store(true, ordering: .relaxed)
        origin.set(Snapshot([], version: "1"), for: "a")
        #expect(!origin.takeMissed(worker: 1))
        #expect(origin.takeMissed(worker: 2))
        #expect(!origin.takeMissed(worker: 2))
    }
}
