import Testing
import WeirBase
import WeirXDS

@testable import WeirEngine

/// What SotW requests do to a stream: names, nonces and versions in every mixture that clients send.
@Suite struct ShardRequestTests {
    private func state(_ h: ShardHarness, _ type: XDSType, stream: Int = 0) -> TypeStatus? {
        h.shard.streamStatuses(from: 0, limit: 10).streams[stream].types.first { $0.type == type }
    }

    @Test("SOTW-01 AGG-20 the node of the first request holds for the stream")
    func nodeOnce() {
        let h = ShardHarness()
        let c = h.open(.sotw)
        c.request(.cds)
        c.request(.lds)
        h.publish("n", .cds, ["a@1"])
        h.publish("n", .lds, ["l@1"])
        #expect(c.takeAndAck().map(\.resources) == [["a"], ["l"]])
        c.sentNode = false
        c.request(.eds, ["e"], node: "somebody else")
        h.publish("n", .eds, lane: .named, ["e@1"])
        #expect(c.takeAndAck(["e"]).map(\.resources) == [["e"]])
        #expect(h.shard.groupKeys == ["n"])
    }

    @Test("AGG-20 nodes that differ from the stream's first are counted; the same one repeated is not")
    func nodeChanges() {
        let h = ShardHarness()
        let c = h.open(.sotw)
        func send(_ type: XDSType, _ node: Node) {
            var request = OutgoingRequest(typeURL: type.typeURL)
            request.node = node.raw
            h.receive(c, request.encoded)
        }
        let node = Node(id: "n", cluster: "c", metadata: ["a": .string("1"), "b": .number(2)])
        send(.cds, node)
        send(.cds, node)
        send(.lds, node)
        #expect(h.shard.nodeChanges == 0)
        // The same fields in another order are no other node.
        var turned = WireWriter()
        turned.string(2, "c")
        turned.string(1, "n")
        turned.bytes += Node(id: "", metadata: node.metadata).raw
        #expect(turned.bytes != node.raw)
        if let reordered = try? Node(decoding: turned.bytes) { send(.cds, reordered) }
        #expect(h.shard.nodeChanges == 0)
        let other = Node(id: "n", cluster: "c", metadata: ["a": .string("2"), "b": .number(2)])
        send(.eds, other)
        send(.eds, other)
        #expect(h.shard.nodeChanges == 1)
        send(.eds, node)
        send(.eds, Node(id: "m", cluster: "c"))
        #expect(h.shard.nodeChanges == 2)
    }

    @Test("SOTW-04 SOTW-23 names beside * bring the union, each once", arguments: ProtocolVariant.allCases)
    func union(_ variant: ProtocolVariant) {
        let h = ShardHarness()
        let c = h.open(variant)
        if variant == .sotw { c.request(.cds, ["*", "x", "a"]) } else { c.delta(.cds, add: ["*", "x", "a"]) }
        h.publish("n", .cds, ["a@1", "b@1"])
        h.publish("n", .cds, lane: .named, ["x@1", "a@1"], wildcardKnown: true)
        let answers = c.takeAndAck(["*", "x", "a"]) + c.takeAndAck(["*", "x", "a"])
        for answer in answers { #expect(Set(answer.resources).count == answer.resources.count) }
        let last = variant == .sotw ? answers.last?.resources ?? [] : answers.flatMap(\.resources)
        #expect(Set(last.map { String($0.prefix(1)) }) == ["a", "b", "x"])
        h.publish("n", .cds, ["a@2"])
        h.publish("n", .cds, lane: .named, ["a@2"], wildcardKnown: true)
        let change = c.takeAndAck(["*", "x", "a"])
        #expect(change.map { $0.resources.count } == [variant == .sotw ? 3 : 1])
    }

    @Test("SOTW-13 a later request without a nonce is a change of names")
    func emptyNonce() {
        let h = ShardHarness()
        let c = h.open(.sotw)
        c.request(.eds, ["A"])
        h.publish("n", .eds, lane: .named, ["A@1"])
        c.takeAndAck(["A"])
        c.request(.eds, [], nonce: "w0000001")
        #expect(c.take().isEmpty)
        h.publish("n", .eds, lane: .named, [])
        c.request(.eds, ["A"])
        h.publish("n", .eds, lane: .named, ["A@1"])
        #expect(c.takeAndAck(["A"]).map(\.resources) == [["A"]])
    }

    @Test("SOTW-16 a NACK may change the names")
    func nackWithNames() {
        let h = ShardHarness()
        let c = h.open(.sotw)
        c.request(.eds, ["a"])
        h.publish("n", .eds, lane: .named, ["a@1"])
        let first = c.take()
        c.request(.eds, ["a", "b"], nonce: first[0].nonce, error: "no")
        h.publish("n", .eds, lane: .named, ["b@1"])
        #expect(c.take().map(\.resources) == [["b"]])
        #expect(self.state(h, .eds)?.state == .nacked)
    }

    @Test("SOTW-17 ACKs and repeated requests are not answered", arguments: ProtocolVariant.allCases)
    func quiescence(_ variant: ProtocolVariant) {
        let h = ShardHarness()
        let c = h.open(variant)
        for type in [XDSType.cds, .lds] {
            if variant == .sotw { c.request(type) } else { c.delta(type) }
            h.publish("n", type, ["a@1"])
            let answer = c.takeAndAck()
            #expect(answer.count == 1)
            for _ in 0..<5 {
                if variant == .sotw {
                    c.request(type, version: answer[0].version, nonce: answer[0].nonce)
                } else {
                    c.delta(type, nonce: answer[0].nonce)
                }
                #expect(c.take().isEmpty)
            }
        }
    }

    @Test("SOTW-20 the newest nonce answers for earlier responses, and many requests of one turn get one answer")
    func superseding() {
        let h = ShardHarness()
        let c = h.open(.sotw)
        c.request(.eds, ["n0"])
        h.publish("n", .eds, lane: .named, (0..<500).map { "n\($0)@1" })
        #expect(c.take().map(\.resources) == [["n0"]])
        c.request(.eds, ["n0", "n1"])
        let second = c.take()
        #expect(second.map(\.resources) == [["n1"]])
        c.request(.eds, ["n0", "n1"], version: second[0].version, nonce: second[0].nonce)
        #expect(self.state(h, .eds)?.state == .acked)
        h.publish("n", .eds, lane: .named, ["n0@2"])
        let third = c.takeAndAck(["n0", "n1"])
        #expect(third.map(\.resources) == [["n0"]])
        for count in 3...500 {
            c.request(
                .eds, (0..<count).map { "n\($0)" }, version: third[0].version, nonce: third[0].nonce)
        }
        let answers = c.takeAndAck((0..<500).map { "n\($0)" })
        #expect(answers.count == 1)
        #expect(Set(answers.flatMap(\.resources)) == Set((2..<500).map { "n\($0)" }))
    }

    @Test("SOTW-21 a NACK of one type is nothing to another")
    func independence() {
        let h = ShardHarness()
        let c = h.open(.sotw)
        c.request(.lds)
        c.request(.cds)
        h.publish("n", .lds, ["l@1"])
        h.publish("n", .cds, ["a@1"])
        for round in 2...5 {
            for answer in c.take() {
                let isListener = answer.typeURL == XDSType.lds.typeURL
                c.request(
                    isListener ? .lds : .cds, version: isListener ? "" : answer.version, nonce: answer.nonce,
                    error: isListener ? "no" : nil)
            }
            #expect(self.state(h, .lds)?.state == .nacked && self.state(h, .cds)?.state == .acked)
            h.publish("n", .cds, ["a@\(round)"])
            h.publish("n", .lds, ["l@\(round)"])
        }
        #expect(c.take().map(\.label) == ["cds", "lds"])
    }

    @Test("SOTW-24 what was due for names that were given up is not sent", arguments: ProtocolVariant.allCases)
    func givenUp(_ variant: ProtocolVariant) {
        let h = ShardHarness()
        let c = h.open(variant)
        if variant == .sotw { c.request(.sds, ["s"]) } else { c.delta(.sds, add: ["s"]) }
        h.settle()
        h.publishBlocked("n", .sds, ["s@1"], c)
        #expect(h.takeBlocked(c).count == 1)
        h.publishBlocked("n", .sds, ["s@2"], c)
        if variant == .sotw { c.request(.sds, []) } else { c.delta(.sds, remove: ["s"]) }
        h.unblock(c)
        #expect(c.take().isEmpty)
        h.publish("n", .sds, lane: .named, ["s@3"])
        h.advance(.seconds(6))
        #expect(c.take().isEmpty)
    }

    @Test("SOTW-25 the newest nonce under another version is no ACK of what was rejected")
    func bookkeeping() {
        let h = ShardHarness()
        let c = h.open(.sotw)
        c.request(.eds, ["a"])
        h.publish("n", .eds, lane: .named, ["a@1"], version: "1", passes: true)
        c.takeAndAck(["a"])
        h.publish("n", .eds, lane: .named, ["a@2"], version: "2", passes: true)
        let second = c.take()
        c.request(.eds, ["a"], version: "1", nonce: second[0].nonce, error: "no")
        c.request(.eds, ["a", "b"], version: "1", nonce: second[0].nonce)
        h.settle()
        let status = self.state(h, .eds)
        #expect(status?.state == .nacked && status?.rejection?.version == "2" && status?.acked == "1")
        c.request(.eds, ["a", "b"], version: "2", nonce: second[0].nonce)
        #expect(self.state(h, .eds)?.state == .acked)
    }

    @Test("SOTW-26 streams of one node and one type are independent", arguments: ProtocolVariant.allCases)
    func streams(_ variant: ProtocolVariant) {
        let h = ShardHarness()
        let clients = (0..<2).map { _ in h.open(variant, type: .eds) }
        for (client, name) in zip(clients, ["a", "b"]) {
            if variant == .sotw { client.request(.eds, [name]) } else { client.delta(.eds, add: [name]) }
        }
        h.publish("n", .eds, lane: .named, ["a@1", "b@1"])
        #expect(clients[0].takeAndAck(["a"]).flatMap(\.resources).map { $0.prefix(1) } == ["a"])
        #expect(clients[1].takeAndAck(["b"]).flatMap(\.resources).map { $0.prefix(1) } == ["b"])
        h.shard.close(clients[0].id)
        h.publish("n", .eds, lane: .named, ["a@2", "b@2"])
        #expect(clients[1].takeAndAck(["b"]).flatMap(\.resources).map { $0.prefix(1) } == ["b"])
    }

    @Test("DELTA-14 what went and came back before it could be sent is one entry")
    func goneAndBack() {
        let h = ShardHarness()
        let c = h.open(.delta)
        c.delta(.cds)
        h.publish("n", .cds, ["x@1", "y@1"])
        let first = c.take()
        h.publish("n", .cds, ["-x", "y@2"])
        h.publish("n", .cds, ["x@2", "-y"])
        #expect(c.take().isEmpty)
        c.delta(.cds, nonce: first[0].nonce)
        let answer = c.takeAndAck()
        #expect(answer.map(\.resources) == [["x@2"]] && answer.map(\.removed) == [["y"]])
    }

    @Test("AGG-14 two hundred clients get one body, each under nonces of its own")
    func sharedBodies() {
        let h = ShardHarness()
        let clients = (0..<200).map { _ in h.open(.sotw) }
        for client in clients { client.request(.cds) }
        var nonces: [[String]] = Array(repeating: [], count: clients.count)
        for content in 1...5 {
            let before = h.bodies.count
            h.publish("n", .cds, ["a@\(content)"])
            #expect(h.bodies.count == before + 1)
            for (index, client) in clients.enumerated() { nonces[index] += client.takeAndAck().map(\.nonce) }
        }
        for own in nonces { #expect(own.count == 5 && Set(own).count == 5) }
    }

    @Test("WIRE-06 a whole set that is too large for one message is sent, counted, and told of once")
    func oversized() {
        let h = ShardHarness { $0.maxResponseBytes = 400 }
        let c = h.open(.sotw)
        c.request(.cds)
        h.publish("n", .cds, (0..<20).map { "cluster-\($0)@1" })
        #expect(c.takeAndAck().map(\.resources.count) == [20])
        h.publish("n", .cds, ["cluster-3@2"])
        #expect(c.takeAndAck().map(\.resources.count) == [20])
        #expect(h.shard.counters[.cds]?.oversized == 2)
        let told = h.events.compactMap { event -> String? in
            if case .oversized(let key, let type, let bytes) = event, bytes > 400 {
                "\(key) \(type.label)"
            } else {
                nil
            }
        }
        #expect(told == ["n cds"])
    }

    @Test("AGG-23 what must not be cached is fetched for each new subscriber", arguments: ProtocolVariant.allCases)
    func doNotCache(_ variant: ProtocolVariant) {
        let h = ShardHarness()
        func subscribe(_ c: ShardHarness.Client, _ names: [String]) {
            if variant == .sotw { c.request(.eds, names) } else { c.delta(.eds, add: names) }
        }
        let first = h.open(variant)
        subscribe(first, ["a", "b"])
        #expect(h.takeInterest(.eds) == ["+a", "+b"])
        h.publish("n", .eds, lane: .named, ["b@1"])
        h.publish("n", .eds, lane: .named, ["a@1"], uncached: true)
        let answers = (first.takeAndAck(["a", "b"]) + first.takeAndAck(["a", "b"])).flatMap(\.resources)
        #expect(answers.map { $0.prefix(1) } == ["b", "a"] && h.takeInterest(.eds) == [])
        // Two that join at once are one fetch; what is cached they get at once.
        let joiners = (0..<2).map { _ in h.open(variant) }
        for joiner in joiners { subscribe(joiner, ["a", "b"]) }
        #expect(h.takeInterest(.eds) == ["!a"])
        for joiner in joiners {
            #expect(joiner.takeAndAck(["a", "b"]).flatMap(\.resources).map { $0.prefix(1) } == ["b"])
        }
        h.publish("n", .eds, lane: .named, ["a@1"], uncached: true)
        for joiner in joiners {
            #expect(joiner.takeAndAck(["a", "b"]).flatMap(\.resources).map { $0.prefix(1) } == ["a"])
        }
        #expect(first.take().isEmpty)
        // All are in step from here on, and what came for the joiners answers no later one.
        h.publish("n", .eds, lane: .named, ["a@2"], uncached: true)
        for client in [first] + joiners { #expect(client.takeAndAck(["a", "b"]).count == 1) }
        let late = h.open(variant)
        subscribe(late, ["a"])
        #expect(late.take().isEmpty && h.takeInterest(.eds) == ["!a"])
        // It may be gone, or may be cached, by then.
        h.publish("n", .eds, lane: .named, ["a@3"])
        #expect(late.takeAndAck(["a"]).count == 1 && first.takeAndAck(["a", "b"]).count == 1)
        let last = h.open(variant)
        subscribe(last, ["a"])
        #expect(last.takeAndAck(["a"]).count == 1 && h.takeInterest(.eds) == [])
    }

    @Test("AGG-23 a SotW set that is always whole waits for what must be fetched")
    func doNotCacheWhole() {
        let h = ShardHarness()
        let first = h.open(.sotw)
        first.request(.cds, ["a", "b"])
        h.publish("n", .cds, lane: .named, ["a@1"], uncached: true)
        h.publish("n", .cds, lane: .named, ["b@1"])
        _ = first.takeAndAck(["a", "b"]) + first.takeAndAck(["a", "b"])
        let second = h.open(.sotw)
        second.request(.cds, ["a", "b"])
        #expect(second.take().isEmpty)
        h.publish("n", .cds, lane: .named, ["a@1"], uncached: true)
        #expect(second.takeAndAck(["a", "b"]).map { $0.resources.sorted() } == [["a", "b"]])
        #expect(first.take().isEmpty)
    }

    @Test("AGG-02 nothing of one group reaches another, whoever comes and goes", arguments: 0..<20)
    func groups(seed: UInt64) {
        let h = ShardHarness()
        var generator = SeededGenerator(seed: seed)
        var clients: [(node: String, client: ShardHarness.Client)] = []
        for step in 0..<60 {
            let node = Bool.random(using: &generator) ? "k" : "l"
            switch Int.random(in: 0..<4, using: &generator) {
            case 0 where !clients.isEmpty:
                let index = Int.random(in: 0..<clients.count, using: &generator)
                h.shard.close(clients.remove(at: index).client.id)
            case 1: h.publish(node, .cds, ["a@\(node)\(step)"])
            default:
                let client = h.open(.delta)
                client.delta(.cds, node: node)
                clients.append((node, client))
                h.settle()
            }
            for (node, client) in clients {
                for text in client.takeAndAck().flatMap(\.resources) { #expect(text.hasPrefix("a@\(node)")) }
            }
        }
    }
}
