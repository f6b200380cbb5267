import Testing
import WeirBase
import WeirXDS

@testable import WeirEngine

/// A journal with pushes of clusters of one group, `a@1` being a resource of content 1.
private final class JournalHarness {
    let journal: PushJournal
    private var held: [String: Resource] = [:]
    private var last: UInt64 = 0
    var sequence = 0
    let start = Instant(rawValue: 1_000_000_000)

    init(_ change: (inout JournalLimits) -> Void = { _ in }) {
        var limits = JournalLimits()
        change(&limits)
        self.journal = PushJournal(limits)
    }

    @discardableResult
    func push(
        _ version: String, _ resources: [String] = [], removed: [String] = [], outcome: PushOutcome = .sent,
        workers: UInt64 = 1, type: XDSType = .cds, key: String = "k", isUpstreamState: Bool = true
    ) -> PushID {
        self.last += 1
        self.sequence += 1
        var changes: [ResourceChange] = []
        var before: [Slot: Presence] = [:]
        for text in resources {
            let parts = text.split(separator: "@").map(String.init)
            let any = HomeHarness.any(type, text)
            let resource = Resource(
                name: parts[0], version: nil, type: type, any: ByteRange(offset: 0, count: any.count), in: any.span)
            if let old = self.held[parts[0]] { before[Slot(lane: .wildcard, name: parts[0])] = .present(old) }
            if isUpstreamState { self.held[parts[0]] = resource }
            changes.append(ResourceChange(lane: .wildcard, name: parts[0], presence: .present(resource)))
        }
        for name in removed {
            if let old = self.held.removeValue(forKey: name) {
                before[Slot(lane: .wildcard, name: name)] = .present(old)
            }
            changes.append(ResourceChange(lane: .wildcard, name: name, presence: .absent))
        }
        let id = PushID(rawValue: self.last)
        self.journal.add(
            PushReport(
                id: id, key: key, type: type, version: version, server: "one", outcome: outcome, detail: "",
                receivedAt: self.start, receivedAtWall: WallTime(rawValue: 0), workers: workers,
                isUpstreamState: isUpstreamState, sequence: self.sequence, changes: changes, before: before),
            upstream: "primary")
        return id
    }

    func all(_ key: String? = "k", limit: Int = 100) -> [PushSummary] {
        self.journal.pushes(key: key, typeURL: nil, limit: limit)
    }

    func written(_ push: PushID, worker: Int, after: Int64, responses: Int = 1) {
        self.journal.written(
            TakenPush(key: "k", type: .cds, push: push, responses: responses), worker: worker,
            at: self.start + .milliseconds(after))
    }

    func acknowledged(_ push: PushID, worker: Int, after: Int64) {
        self.journal.acknowledged(
            push, key: "k", type: .cds, worker: worker, at: self.start + .milliseconds(after))
    }

    func difference(_ from: String?, _ to: String?, type: XDSType = .cds) throws -> String {
        let difference = try self.journal.difference(key: "k", type: type, from: from, to: to)
        let changed = difference.changed.map(\.name)
        return "\(difference.from)>\(difference.to) +\(difference.added) -\(difference.removed) ~\(changed)"
    }

    func refusal(_ from: String?, _ to: String?) -> PushJournal.Refusal? {
        do throws(PushJournal.Refusal) {
            _ = try self.journal.difference(key: "k", type: .cds, from: from, to: to)
            return nil
        } catch {
            return error
        }
    }
}

struct PushJournalTests {
    @Test("a push id is a text of fixed width that sorts as the number does")
    func pushIDs() {
        let texts = [1, 15, 16, 1 << 40].map { PushID(rawValue: $0).description }
        #expect(texts == texts.sorted())
        #expect(texts[1] == "000000000000000f")
        #expect(texts.map { PushID($0)?.rawValue } == [1, 15, 16, 1 << 40])
        #expect(PushID("f") == nil && PushID("00000000000000zz") == nil)
    }

    @Test("the newest pushes stand first, and tell what they added, changed and removed")
    func order() {
        let h = JournalHarness()
        h.push("1", ["a@1", "b@1"])
        h.push("2", ["b@2", "c@1"], removed: ["a"])
        let pushes = h.all()
        #expect(pushes.map(\.version) == ["2", "1"])
        #expect(pushes[0].added.names == ["c"] && pushes[0].changed.names == ["b"])
        #expect(pushes[0].removed.names == ["a"] && pushes[1].added.count == 2)
        #expect(h.all(limit: 1).map(\.version) == ["2"])
        #expect(h.all("other").isEmpty && h.all(nil).count == 2)
    }

    @Test("only so many names of a push are kept, and the others counted")
    func names() {
        let h = JournalHarness()
        h.push("1", (0..<250).map { "n\($0)@1" })
        #expect(h.all()[0].added.names.count == NameList.namesMax)
        #expect(h.all()[0].added.leftOut == 150)
    }

    @Test(
        "of a group that is pushed to all the time the last pushes stay, and those of a quiet one, however many there are"
    )
    func many() {
        let h = JournalHarness { $0.pushes = 3 }
        h.push("quiet", ["q@1"], key: "quiet")
        for number in 1...12_000 { h.push("\(number)", ["a@\(number)"]) }
        #expect(h.all().map(\.version) == ["12000", "11999", "11998"])
        #expect(h.all("quiet").map(\.version) == ["quiet"])
        #expect(h.all(nil).count == 4)
    }

    @Test("where the budget is small, the oldest pushes of all groups go, however many have gone before")
    func smallBudget() {
        let h = JournalHarness { $0.bytes = 4096 }
        h.push("quiet", ["q@1"], key: "quiet")
        for number in 1...6000 { h.push("\(number)", ["a@\(number)"]) }
        #expect(h.all("quiet").isEmpty)
        let left = h.all().map(\.version)
        #expect(!left.isEmpty && left.count < 50)
        #expect(left == (0..<left.count).map { "\(6000 - $0)" })
        h.push("again", ["q@2"], key: "quiet")
        #expect(h.all("quiet").map(\.version) == ["again"])
    }

    @Test("a push is written when the last worker that was told has, and acknowledged in the same way")
    func times() {
        let h = JournalHarness()
        let first = h.push("1", ["a@1"], workers: 0b101)
        h.written(first, worker: 0, after: 2)
        h.written(first, worker: 1, after: 9)
        #expect(h.all()[0].written == nil)
        h.written(first, worker: 2, after: 3)
        #expect(h.all()[0].written == .milliseconds(3))
        #expect(h.all()[0].responses == 2)
        h.acknowledged(first, worker: 2, after: 4)
        #expect(h.all()[0].acked == nil)
        h.acknowledged(first, worker: 0, after: 7)
        #expect(h.all()[0].acked == .milliseconds(7))
    }

    @Test("who answers a newer push of the type has answered the older ones, too")
    func overtaken() {
        let h = JournalHarness()
        h.push("1", ["a@1"])
        let second = h.push("2", ["a@2"])
        h.push("3", ["a@3"])
        h.acknowledged(second, worker: 0, after: 5)
        #expect(h.all().map(\.acked) == [nil, .milliseconds(5), .milliseconds(5)])
    }

    @Test("a push that no stream was sent has no time of writing, and one that nobody was told no times at all")
    func nobody() {
        let h = JournalHarness()
        let first = h.push("1", ["a@1"])
        h.written(first, worker: 0, after: 2, responses: 0)
        h.acknowledged(first, worker: 0, after: 2)
        #expect(h.all()[0].written == nil && h.all()[0].acked == .milliseconds(2))
        let second = h.push("2", ["a@2"], outcome: .held(.empty), workers: 0)
        h.acknowledged(second, worker: 0, after: 3)
        #expect(h.all()[0].acked == nil)
    }

    @Test("what becomes of a tried push is told later, and its times count from then")
    func amended() {
        let h = JournalHarness()
        let push = h.push("1", ["a@1"], outcome: .tried, workers: 0)
        h.written(push, worker: 0, after: 1)
        h.journal.amend(push, key: "k", type: .cds, outcome: .sent, detail: "accepted", workers: 1)
        #expect(h.all()[0].outcome == .sent && h.all()[0].written == nil)
        h.written(push, worker: 0, after: 8)
        #expect(h.all()[0].written == .milliseconds(8) && h.all()[0].detail == "accepted")
    }

    @Test("rejections are kept with node and message, the first of them, and cut where they are long")
    func nacks() {
        let h = JournalHarness()
        let push = h.push("1", ["a@1"])
        for index in 0..<30 {
            h.journal.nacked(
                push, key: "k", type: .cds, node: "n\(index)", message: String(repeating: "x", count: 5_000))
        }
        #expect(h.all()[0].nackCount == 30 && h.all()[0].nacks.count == PushSummary.nacksMax)
        #expect(h.all()[0].nacks[0].node == "n0" && h.all()[0].nacks[0].message.utf8.count < 1_100)
    }

    @Test("a type keeps so many pushes")
    func ring() {
        let h = JournalHarness { $0.pushes = 3 }
        for version in 1...5 { h.push("\(version)", ["a@\(version)"]) }
        #expect(h.all().map(\.version) == ["5", "4", "3"])
        #expect(h.refusal("2", "5")?.isGone == false)
        #expect(throws: Never.self) { try h.difference("3", "5") }
    }

    @Test("what is said again and again takes one place")
    func repeats() {
        let h = JournalHarness()
        h.push("1", ["a@1"])
        h.push("2", ["a@2"])
        for _ in 0..<5 { h.push("2", outcome: .unchanged, workers: 0) }
        #expect(h.all().map(\.version) == ["2", "2", "1"])
        #expect(h.all()[0].repeats == 4)
        #expect(throws: Never.self) { try h.difference("1", "2") }
        h.push("3", ["a@3"])
        #expect(throws: Never.self) { try h.difference("1", "3") }
    }

    @Test("beyond the budget the oldest bodies go first, then the oldest pushes, and nothing is left uncounted")
    func budget() {
        let h = JournalHarness {
            $0.bytes = 20_000
            $0.pushes = 1_000
        }
        for version in 1...30 { h.push("\(version)", ["a@\(version)"]) }
        #expect(h.journal.bytes <= 20_000 && h.all().count == 30)
        #expect(h.refusal("1", "30")?.isGone == true || h.refusal("1", "30") == nil)
        for version in 31...100 { h.push("\(version)", ["a@\(version)"]) }
        #expect(h.journal.bytes <= 20_000)
        #expect(h.all().count < 100 && h.all()[0].version == "100")
        var none = JournalLimits()
        none.pushes = 0
        h.journal.set(none)
        #expect(h.journal.bytes == 0 && h.all().isEmpty)
    }

    // MARK: Differences

    @Test("a difference is what changed from one state to another, forwards and backwards")
    func differences() throws {
        let h = JournalHarness()
        h.push("1", ["a@1", "b@1"])
        h.push("2", ["a@2", "c@1"])
        h.push("3", ["a@1", "d@1"], removed: ["b", "c"])
        #expect(try h.difference("1", "2") == #"1>2 +["c"] -[] ~["a"]"#)
        #expect(try h.difference("1", "3") == #"1>3 +["d"] -["b"] ~[]"#)
        #expect(try h.difference("3", "1") == #"3>1 +["b"] -["d"] ~[]"#)
        #expect(try h.difference(nil, nil) == #"2>3 +["d"] -["b", "c"] ~["a"]"#)
        #expect(try h.difference("2", "2") == "2>2 +[] -[] ~[]")
        #expect(try h.difference(PushID(rawValue: 1).description, "2") == #"1>2 +["c"] -[] ~["a"]"#)
    }

    @Test("what clients are given apart is no state of the control plane")
    func clientsOnly() throws {
        let h = JournalHarness()
        h.push("1", ["a@1"])
        h.push("2", ["a@2"])
        h.push("1", ["a@1"], outcome: .rolledBack, isUpstreamState: false)
        #expect(try h.difference("1", "2") == #"1>2 +[] -[] ~["a"]"#)
    }

    @Test("what cannot be compared says why, and what can be")
    func refusals() {
        let h = JournalHarness()
        #expect(h.refusal("1", "2")?.isGone == false)
        h.push("1", ["a@1"])
        #expect(h.refusal(nil, nil)?.message.contains("no state before") == true)
        h.push("2", ["a@2"])
        // One got lost.
        h.sequence += 1
        h.push("4", ["a@4"])
        h.push("5", ["a@5"])
        let gone = h.refusal("2", "5")
        #expect(gone?.isGone == true && gone?.message.contains("available are \"5\", \"4\", newest") == true)
        #expect(h.refusal("9", "5")?.isGone == false)
        #expect(h.refusal("4", "5") == nil)
    }

    @Test("bodies of secrets are not kept")
    func secrets() throws {
        let h = JournalHarness()
        h.push("1", ["a@1"], type: .sds)
        h.push("2", ["a@2"], type: .sds)
        let difference = try h.journal.difference(key: "k", type: .sds, from: "1", to: "2")
        #expect(difference.changed.map(\.name) == ["a"])
        #expect(difference.changed[0].before.resource == nil && difference.changed[0].after.resource == nil)
    }
}
