import Testing
import WeirBase
import WeirXDS

@testable import WeirEngine
@testable import WeirServer

@Suite("What queries of the debug endpoint mean") struct AdminQueryTests {
    @Test("a place in a list of clients", arguments: [("0.0", true), ("12.345", true)])
    func places(_ text: String, _ isGood: Bool) throws {
        #expect(try #require(StreamCursor(text)).text == text)
    }

    @Test("no place", arguments: ["", ".", "1", "1.", ".1", "1.2.3", "-1.2", "+1.2", "a.b", "1.9999999999", "1.٣"])
    func noPlaces(_ text: String) { #expect(StreamCursor(text) == nil) }

    @Test(
        "a place in a dump says the same after writing and reading", arguments: ["", "a", "a,b", "ä %,\u{0}/", "100%"])
    func dumpPlaces(_ name: String) {
        let place = DumpCursor(key: name, typeURL: XDSType.cds.typeURL, name: name)
        #expect(DumpCursor(place.text) == place)
        #expect(place.text.utf8.allSatisfy { $0 < 0x80 })
    }

    @Test("any text is a place in a dump", arguments: ["", ",,,,", "%", "%zz", "%e", "a,b,c,d"])
    func anyPlace(_ text: String) { _ = DumpCursor(text) }

    @Test("parameters are held against the table of routes, and what is wrong says what would be right")
    func faults() throws {
        let keys = try #require(AdminRoute.all.first { $0.path == "/keys" })
        #expect(keys.fault(in: [("key", "x"), ("limit", "5"), ("format", "text")]) == nil)
        #expect(keys.fault(in: [("limit", ""), ("format", "")]) == nil, "an empty one is none")
        #expect(keys.fault(in: [("limit", "100001")])?.contains("1 to 100000") == true)
        #expect(keys.fault(in: [("limit", "1e3")]) != nil)
        #expect(keys.fault(in: [("kez", "x")])?.contains("did you mean key?") == true)
        #expect(keys.fault(in: [("completely", "x")])?.contains("it takes key, limit, cursor, format") == true)
        let hold = try #require(AdminRoute.all.first { $0.path == "/keys/hold" })
        #expect(hold.fault(in: [("key", "x")])?.contains("needs &type=") == true)
        #expect(hold.fault(in: [("key", ""), ("type", "cds")])?.contains("needs &key=") == true)
        #expect(hold.fault(in: [("key", "x"), ("type", "example.com/a.B")]) == nil)
        let clients = try #require(AdminRoute.all.first { $0.path == "/clients" })
        #expect(clients.fault(in: [("node.metadata.a.b:prefix", "x")]) == nil)
        #expect(clients.fault(in: [("node.metadata.", "x")]) != nil)
    }

    @Test("each route stands once")
    func routes() {
        let places = AdminRoute.all.map { "\($0.method) \($0.path)" }
        #expect(Set(places).count == places.count)
        for route in AdminRoute.all { #expect(Set(route.parameters.map(\.name)).count == route.parameters.count) }
    }

    @Test("a page takes the first streams of all workers and goes on behind the last one")
    func pages() {
        func page(_ worker: Int, _ slots: [Int], next: Int? = nil) -> StreamPage {
            StreamPage(
                worker: worker,
                streams: slots.map {
                    StreamStatus(
                        slot: $0, node: nil, nodeID: "\(worker).\($0)", cluster: "", peer: "", key: "", service: "",
                        variant: .delta, since: WallTime(rawValue: 0), types: [])
                }, matched: 9, next: next)
        }
        func listed(_ pages: [StreamPage], _ limit: Int) -> String {
            let (streams, next) = AdminServer.page(pages, limit: limit)
            return streams.map(\.nodeID).joined(separator: " ") + " > " + (next?.text ?? "-")
        }
        #expect(listed([page(0, [1, 4]), page(1, [2])], .max) == "0.1 0.4 1.2 > -")
        #expect(listed([page(0, [1, 4]), page(1, [2])], 2) == "0.1 0.4 > 1.2")
        #expect(listed([page(0, [1, 4]), page(1, [])], 2) == "0.1 0.4 > -")
        #expect(listed([page(0, [1, 4], next: 7), page(1, [2])], 5) == "0.1 0.4 > 0.7")
        #expect(listed([page(0, [1, 4]), page(2, [2, 3])], 3) == "0.1 0.4 2.2 > 2.3", "a worker is missing")
    }

    @Test(
        "conditions on nodes are those of CSDS",
        arguments: [
            ([("node", "edge-1")], true), ([("node", "edge")], false), ([("node:prefix", "ed")], true),
            ([("node:suffix", "-1")], true), ([("node:contains", "ge")], true), ([("node:regex", "[a-z]+-1")], true),
            ([("node:regex", "[a-z]+")], false), ([("node.metadata.tier", "gold")], true),
            ([("node.metadata.port", "80")], true), ([("node.metadata.in.x", "true")], true),
            ([("node.metadata.in.x", "false")], false),
            ([("node:prefix", "e"), ("node.metadata.tier:contains", "ol")], true),
            ([("node:prefix", "x"), ("node.metadata.tier:contains", "ol")], false),
        ] as [([(String, String)], Bool)])
    func nodes(_ query: [(String, String)], _ expected: Bool) throws {
        let node = Node(
            id: "edge-1", cluster: "c",
            metadata: ["tier": .string("gold"), "port": .number(80), "in": .object(["x": .bool(true)])])
        let identity = NodeIdentity(id: node.id, cluster: node.cluster, encoded: node.summary)
        let read = try NodeFilter.read(query.map { (name: $0.0, value: $0.1) })
        let matches = try #require(read)
        #expect(matches(identity) == expected)
    }

    @Test("conditions that say nothing are none, and what cannot be used is refused")
    func conditions() throws {
        let none = try NodeFilter.read([(name: "key", value: "x"), (name: "node", value: "")])
        #expect(none.map { _ in true } == nil)
        #expect(throws: AdminFault.self) { _ = try NodeFilter.read([(name: "node:regex", value: "(")]) }
    }
}

@Suite("Why a client lacks a resource") struct MissingReasonTests {
    private func origin(
        _ name: OriginExplanation.Name?, isOpen: Bool = true, isHeldBack: Bool = false
    ) -> OriginExplanation {
        OriginExplanation(
            upstream: "up", state: OriginState(isConnected: isOpen, server: "", lastError: "refused"),
            isStreamOpen: isOpen, version: "7", isHeldBack: isHeldBack, names: name.map { ["x": $0] } ?? [:])
    }

    private func word(_ cause: MissingName.Cause, _ origins: [OriginExplanation]) -> MissingReason.Word {
        MissingReason.of(MissingName(name: "x", cause: cause), nonce: Nonce(rawValue: 1), origins).word
    }

    @Test("what the client's worker knows comes first")
    func shard() {
        #expect(self.word(.unsent(.acknowledgement), [self.origin(.absent)]) == .waitingForACK)
        #expect(self.word(.unsent(.transport), []) == .notRead)
        #expect(self.word(.unsent(.none), []) == .due)
    }

    @Test("what the home knows")
    func home() {
        #expect(self.word(.nothingHere, []) == .unknown)
        #expect(self.word(.nothingHere, [self.origin(.withheld)]) == .held)
        #expect(self.word(.nothingHere, [self.origin(.absent)]) == .doesNotExist)
        #expect(self.word(.nothingHere, [self.origin(.absent, isOpen: false)]) == .doesNotExist)
        #expect(self.word(.nothingHere, [self.origin(.asked(remaining: .seconds(3)))]) == .waitingForUpstream)
        #expect(self.word(.nothingHere, [self.origin(.notAsked)]) == .waitingForUpstream)
        #expect(self.word(.nothingHere, [self.origin(.neverSent)]) == .neverSent)
        #expect(self.word(.nothingHere, [self.origin(.neverSent, isOpen: false)]) == .upstreamUnavailable)
        #expect(self.word(.nothingHere, [self.origin(.notAsked, isHeldBack: true)]) == .waitingForUpstream)
        #expect(self.word(.nothingHere, [self.origin(nil), self.origin(.absent)]) == .doesNotExist, "another upstream")
    }
}
