import Testing
import WeirBase
import WeirXDS

@testable import WeirEngine

@Suite struct HomeSotWTests {
    /// A group whose wildcard of clusters is wanted and whose stream is open.
    private func wildcard() -> HomeHarness {
        let h = HomeHarness(.sotw)
        h.join()
        h.want(.cds, wildcard: true)
        h.open()
        _ = h.takeRequests()
        return h
    }

    @Test("UP-01 UP-14 the first request of a stream carries the node, no other does; a wildcard is an empty list")
    func node() {
        let h = HomeHarness(.sotw)
        h.join()
        h.want(.cds, wildcard: true)
        h.want(.eds, ["a"])
        #expect(h.opened == [0])
        #expect(h.takeRequests() == [])
        h.open()
        #expect(h.takeRequests() == ["0 node cds v= n= []", "0 eds v= n= [a]"])
        h.sotw(.cds, "1", "n1", ["a@1"])
        #expect(h.takeRequests() == ["0 cds v=1 n=n1 []"])
        h.lose()
        h.open()
        #expect(h.takeRequests().first == "0 node cds v=1 n= []")
    }

    @Test("UP-14 NAME-15 a wildcard is explicit in types where an empty list means nothing")
    func explicitWildcard() {
        let h = HomeHarness(.sotw)
        h.join()
        h.want(.eds, wildcard: true)
        h.open()
        h.sotw(.eds, "1", "n1", ["a@1"])
        #expect(h.takeRequests() == ["0 node eds v= n= [*]", "0 eds v=1 n=n1 [*]"])
    }

    @Test("UP-02 every response is acknowledged with its version and nonce, also one that changes nothing")
    func acknowledgement() {
        let h = self.wildcard()
        for i in 1...10 { h.sotw(.cds, "v\(i)", "n\(i)", ["a@1"]) }
        #expect(h.takeRequests() == (1...10).map { "0 cds v=v\($0) n=n\($0) []" })
        #expect(h.takeUpdates().filter { $0 != "" } == ["a@1"])
    }

    @Test("UP-03 UP-05 UP-06 a bad resource is rejected with the last good version, and the good ones are used")
    func rejection() {
        let h = self.wildcard()
        h.sotw(.cds, "1", "n1", ["a@1", "b@1"])
        _ = h.takeRequests()
        _ = h.takeUpdates()
        h.sotw(.cds, "2", "n2", ["a@2"], raw: [HomeHarness.any(.eds, "b@2")])
        #expect(h.takeRequests() == ["0 cds v=1 n=n2 [] NACK"])
        #expect(h.takeUpdates() == ["a@2"])
        h.sotw(.cds, "3", "n3", ["a@3", "b@3"])
        #expect(h.takeRequests() == ["0 cds v=3 n=n3 []"])
        #expect(h.takeUpdates() == ["a@3 b@3"])
    }

    @Test("UP-06 a name that stands twice is rejected and what is cached of it stays")
    func duplicate() {
        let h = self.wildcard()
        h.sotw(.cds, "1", "n1", ["a@1", "b@1"])
        _ = h.takeUpdates()
        _ = h.takeRequests()
        h.sotw(.cds, "2", "n2", ["a@2", "a@3", "c@1"])
        #expect(h.takeRequests() == ["0 cds v=1 n=n2 [] NACK"])
        #expect(h.takeUpdates() == ["c@1 -b"])
    }

    @Test(
        "UP-06 entries that cannot be read prove no absence",
        arguments: [[UInt8]([0xFF]), [0x12, 0x05, 0x01], [0x0A, 0x00], []])
    func unreadable(_ entry: [UInt8]) {
        let h = self.wildcard()
        h.sotw(.cds, "1", "n1", ["a@1", "b@1"])
        _ = h.takeUpdates()
        _ = h.takeRequests()
        h.sotw(.cds, "2", "n2", ["a@2"], raw: [entry])
        #expect(h.takeRequests() == ["0 cds v=1 n=n2 [] NACK"])
        #expect(h.takeUpdates() == ["a@2"])
    }

    @Test("UP-03 the text of a rejection is bounded")
    func rejectionBound() {
        let h = self.wildcard()
        h.sotw(
            .cds, "1", "n1", [],
            raw: (0..<500).map { _ in HomeHarness.any(.eds, "\(String(repeating: "x", count: 900))@1") })
        guard case .rejected(_, _, let reason, _)? = h.events.last else {
            Issue.record("not rejected")
            return
        }
        #expect(reason.utf8.count <= 2048 + 3)
        #expect(reason.contains("not the response's"))
    }

    @Test("UP-04 AGG-22 XLT-07 payloads are not looked at; wrapped ones are unwrapped")
    func payloads() {
        let h = self.wildcard()
        var value = WireWriter()
        value.string(1, "a")
        value.bytes += [0xF8, 0x7F, 0x80, 0x80, 0x00]  // an unknown field, and a zero that takes three bytes
        var any = WireWriter()
        any.string(1, XDSType.cds.typeURL)
        any.message(2, value.bytes)
        var wrapper = WireWriter()
        wrapper.string(1, XDSType.wrapperURL)
        wrapper.message(2, HomeHarness.envelope("b", "9", HomeHarness.any(.cds, "b@1")))
        h.sotw(.cds, "1", "n1", [], raw: [any.bytes, wrapper.bytes])
        #expect(h.takeRequests() == ["0 cds v=1 n=n1 []"])
        let held = h.group.resources(typeURL: XDSType.cds.typeURL)
        #expect(held.map(\.name) == ["a", "b"])
        #expect(
            held.map { Array($0.encoded[$0.anyRange.offset..<$0.anyRange.end]) } == [
                any.bytes, HomeHarness.any(.cds, "b@1"),
            ])
    }

    @Test("UP-07 UP-15 a new stream gets the accepted version, no nonce, and only what is wanted")
    func reconnect() {
        let h = self.wildcard()
        h.want(.eds, ["a", "b"])
        h.want(.lds, ["l"])
        h.sotw(.cds, "7", "n1", ["a@1"])
        h.sotw(.eds, "8", "n1", ["a@1"])
        h.want(.lds, removing: ["l"])
        h.advance(.seconds(3))
        h.lose()
        _ = h.takeRequests()
        h.open()
        #expect(h.takeRequests() == ["0 node cds v=7 n= []", "0 eds v=8 n= [a,b]"])
    }

    @Test("UP-09 another server is sent no version, and the old content is served until it answers")
    func otherServer() {
        let h = self.wildcard()
        h.sotw(.cds, "7", "n1", ["a@1", "b@1"])
        _ = h.takeUpdates()
        h.lose()
        _ = h.takeRequests()
        h.open(server: "two")
        #expect(h.takeRequests() == ["0 node cds v= n= []"])
        #expect(h.takeUpdates() == [])
        h.sotw(.cds, "7", "n1", ["a@2"])
        #expect(h.takeUpdates() == ["a@2 -b"])
    }

    @Test("UP-12 XLT-04 time without an answer counts on a connected stream only")
    func doesNotExist() {
        let h = HomeHarness(.sotw)
        h.join()
        h.want(.cds, ["a", "b"])
        h.advance(.seconds(40))
        h.open()
        h.sotw(.cds, "1", "n1", ["a@1"])
        h.sotw(.cds, "1", "n2", ["a@1"])
        #expect(h.takeUpdates() == ["'a@1"])
        h.advance(.seconds(10))
        h.lose()
        h.advance(.seconds(40))
        #expect(h.takeUpdates() == [])
        h.open()
        h.advance(.seconds(14))
        #expect(h.takeUpdates() == [])
        h.advance(.seconds(1))
        #expect(h.takeUpdates() == ["'-b"])
        #expect(h.events.contains(.doesNotExist(typeURL: XDSType.cds.typeURL, name: "b")))
        h.sotw(.cds, "2", "n3", ["a@1", "b@1"])
        #expect(h.takeUpdates() == ["'b@1"])
        h.sotw(.cds, "3", "n4", ["b@1"])
        #expect(h.takeUpdates() == ["'-a"])
    }

    @Test("UP-12 a name that an ACK is the first to mention is timed too")
    func doesNotExistAfterACK() {
        let h = HomeHarness(.sotw)
        h.join()
        h.want(.eds, ["a"])
        h.open()
        h.wantSoon(.eds, ["b"])
        h.sotw(.eds, "1", "n1", ["a@1"])
        #expect(h.takeRequests().last == "0 eds v=1 n=n1 [a,b]")
        _ = h.takeUpdates()
        h.advance(.seconds(16))
        #expect(h.takeUpdates() == ["'-b"])
    }

    @Test("UP-13 requests carry the newest nonce, also after a NACK and after the names were gone for a while")
    func newestNonce() {
        let h = HomeHarness(.sotw)
        h.join()
        h.want(.rds, ["a"])
        h.want(.eds, ["e"])
        h.open()
        h.sotw(.rds, "1", "n1", ["a@1"])
        h.sotw(.rds, "2", "n2", ["a@2", "a@3"])
        h.want(.rds, ["b"])
        #expect(h.takeRequests().suffix(2) == ["0 rds v=1 n=n2 [a] NACK", "0 rds v=1 n=n2 [a,b]"])
        h.want(.rds, removing: ["a", "b"])
        h.advance(.seconds(3))
        #expect(h.takeRequests() == ["0 rds v=1 n=n2 []"])
        h.sotw(.rds, "3", "n3", ["a@3"])
        #expect(h.takeRequests() == ["0 rds v=3 n=n3 []"])
        h.want(.rds, ["c"])
        #expect(h.takeRequests() == ["0 rds v= n=n3 [c]"])
    }

    @Test("UP-16 AGG-05 AGG-11 changes of interest within a tick go upstream as one, each name once")
    func coalescing() {
        let h = HomeHarness(.sotw)
        h.join(0)
        h.join(1)
        h.want(.eds, ["seed"])
        h.open()
        h.want(.eds, ["first"])
        _ = h.takeRequests()
        for i in 0..<200 {
            h.wantSoon(.eds, ["e\(i % 50)", "only\(i)"], worker: i % 2)
            if i % 20 == 19 { h.advance(.microseconds(100)) }
        }
        h.advance(.milliseconds(20))
        let requests = h.takeRequests()
        #expect(requests.count <= 2)
        #expect(requests.last?.split(separator: ",").count == 252)
    }

    @Test("UP-17 a response for a type that was never requested is ignored")
    func unasked() {
        let h = self.wildcard()
        h.sotw(.rtds, "1", "n1", ["a@1"])
        #expect(h.takeRequests() == [])
        #expect(h.events == [.ignored(typeURL: XDSType.rtds.typeURL)])
        #expect(h.group.openStreams == 1)
    }

    @Test("UP-17 bytes that are no response end the stream, and the content stays")
    func undecodable() {
        let h = self.wildcard()
        h.sotw(.cds, "1", "n1", ["a@1"])
        _ = h.takeUpdates()
        h.receive([0x0A, 0x7F])
        #expect(h.closed == [0])
        #expect(h.opened == [0, 0])
        #expect(h.takeUpdates() == [])
        #expect(h.states.last?.isConnected == false)
    }

    @Test("UP-18 a group that changes to the other variant begins anew and keeps its content")
    func otherVariant() {
        let h = self.wildcard()
        h.sotw(.cds, "1", "n1", ["a@1"])
        _ = h.takeRequests()
        _ = h.takeUpdates()
        h.lose()
        h.group.setVariant(.delta)
        h.open()
        #expect(h.takeRequests() == ["0 node cds"])
        h.delta(.cds, "d1", ["a@1"])
        h.advance(.seconds(1))
        #expect(h.takeUpdates().filter { $0 != "" } == [])
    }

    @Test("XLT-01 absence removes from the types that are sent whole, and from no other")
    func absence() {
        for (type, update) in [(XDSType.cds, ["-a"]), (.lds, ["-a"]), (.srds, ["-a"])] {
            let h = HomeHarness(.sotw)
            h.join()
            h.want(type, wildcard: true)
            h.open()
            h.sotw(type, "1", "n1", ["a@1", "b@1"])
            _ = h.takeUpdates()
            h.sotw(type, "2", "n2", ["b@1"])
            #expect(h.takeUpdates() == update)
        }
        let h = HomeHarness(.sotw)
        h.join()
        h.want(.eds, ["a", "b"])
        h.open()
        h.sotw(.eds, "1", "n1", ["a@1", "b@1"])
        _ = h.takeUpdates()
        h.sotw(.eds, "2", "n2", ["b@2"])
        #expect(h.takeUpdates() == ["'b@2"])
    }

    @Test("XLT-05 AGG-09 versions of single resources come from their content, whatever the response calls it")
    func contentVersions() {
        let h = self.wildcard()
        h.sotw(.cds, "1", "n1", ["a@1", "b@1"])
        let first = h.takeVersions()
        h.sotw(.cds, "2", "n2", ["a@1", "b@2"])
        let second = h.takeVersions()
        #expect(second.keys.sorted() == ["b"])
        #expect(second["b"] != first["b"])
        let other = self.wildcard()
        other.sotw(.cds, "another", "n1", ["a@1"])
        #expect(other.takeVersions()["a"] == first["a"])
    }

    @Test("AGG-07 interest is taken back after the linger, and comes back within it without a word")
    func linger() {
        let h = HomeHarness(.sotw)
        h.join()
        h.want(.eds, ["a", "b"])
        h.open()
        h.sotw(.eds, "1", "n1", ["a@1", "b@1"])
        _ = h.takeRequests()
        _ = h.takeUpdates()
        h.want(.eds, removing: ["a"])
        h.advance(.seconds(1))
        h.want(.eds, ["a"])
        #expect(h.takeRequests() == [])
        h.want(.eds, removing: ["a"])
        h.advance(.seconds(3))
        h.advance(.milliseconds(20))
        #expect(h.takeRequests() == ["0 eds v=1 n=n1 [b]"])
        #expect(h.takeUpdates() == ["'?a"])
        h.want(.eds, ["a"])
        #expect(h.takeRequests() == ["0 eds v=1 n=n1 [a,b]"])
        #expect(h.takeUpdates() == [])
    }

    @Test("AGG-07 a name that is wanted again in the moment in which it is given up is asked for anew")
    func lingerMoment() {
        let h = HomeHarness(.sotw) { $0.interestTick = .seconds(10) }
        h.join()
        h.want(.eds, ["a", "b"])
        h.open()
        h.sotw(.eds, "1", "n1", ["a@1", "b@1"])
        h.advance(.seconds(11))
        h.wantSoon(.eds, ["c"])
        _ = h.takeRequests()
        h.wantSoon(.eds, removing: ["a"])
        h.advance(.seconds(3))
        #expect(h.takeRequests() == [])
        h.wantSoon(.eds, ["a"])
        h.advance(.seconds(10))
        #expect(h.takeRequests() == ["0 eds v=1 n=n1 [b,c]", "0 eds v=1 n=n1 [a,b,c]"])
    }

    @Test("AGG-07 UP-15 when nobody is left the stream closes and the group is idle")
    func idle() {
        let h = self.wildcard()
        h.want(.eds, ["a"])
        h.leave()
        #expect(!h.isIdle)
        h.advance(.seconds(3))
        #expect(h.isIdle)
        #expect(h.closed == [0])
        #expect(h.group.typeStatuses.isEmpty)
        #expect(h.group.nextDeadline == nil)
    }

    @Test("AGG-08 losing the upstream changes nothing that is served")
    func lost() {
        let h = self.wildcard()
        h.sotw(.cds, "1", "n1", ["a@1"])
        _ = h.takeUpdates()
        h.lose()
        h.advance(.seconds(600))
        #expect(h.takeUpdates() == [])
        h.join(1)
        h.want(.cds, wildcard: true, worker: 1)
        #expect(h.takeUpdates(workers: 2) == ["a@1"])
    }

    @Test("AGG-17 a wildcard and names of one type go on two streams and are kept apart")
    func lanes() {
        let h = self.wildcard()
        h.want(.cds, ["x"])
        #expect(h.opened == [0, 1])
        h.open(1)
        #expect(h.takeRequests() == ["1 node cds v= n= [x]"])
        h.sotw(.cds, "1", "n1", ["a@1"], on: 0)
        h.sotw(.cds, "1", "n1", ["x@1"], on: 1)
        #expect(h.takeUpdates() == ["a@1", "'x@1"])
        h.sotw(.cds, "2", "n2", [], on: 1)
        #expect(h.takeUpdates() == ["'-x"])
        h.want(.cds, removing: ["x"])
        h.advance(.seconds(3))
        #expect(h.closed == [1])
    }

    @Test("AGG-18 AGG-06 a second worker is told what is known, absences included, without a request")
    func negative() {
        let h = HomeHarness(.sotw)
        h.join(0)
        h.join(1)
        h.want(.eds, ["a", "zz"])
        h.open()
        h.sotw(.eds, "1", "n1", ["a@1"])
        h.advance(.seconds(16))
        _ = h.takeRequests()
        _ = h.takeUpdates()
        h.want(.eds, ["zz"], worker: 1)
        #expect(h.takeRequests() == [])
        #expect(h.takeUpdates(workers: 2) == ["full 'a@1 '-zz"])
        h.sotw(.eds, "2", "n2", ["zz@1"])
        #expect(h.takeUpdates(workers: 2) == ["'zz@1"])
    }

    @Test("AGG-21 one response is one update")
    func atomic() {
        let h = self.wildcard()
        h.sotw(.cds, "1", "n1", (0..<100).map { "old\($0)@1" })
        _ = h.takeUpdates()
        h.sotw(.cds, "2", "n2", (0..<100).map { "new\($0)@1" })
        let updates = h.takeUpdates()
        #expect(updates.count == 1)
        #expect(updates.first?.split(separator: " ").count == 200)
    }

    @Test("TTL-02 a heartbeat in the wrapper replaces nothing")
    func heartbeat() {
        let h = self.wildcard()
        func wrapped(_ any: [UInt8]?) -> [UInt8] {
            var wrapper = WireWriter()
            wrapper.string(1, XDSType.wrapperURL)
            wrapper.message(2, HomeHarness.envelope("a", "1", any, ttl: true))
            return wrapper.bytes
        }
        h.sotw(.cds, "1", "n1", [], raw: [wrapped(HomeHarness.any(.cds, "a@1"))])
        _ = h.takeUpdates()
        h.sotw(.cds, "1", "n2", [], raw: [wrapped(nil)])
        #expect(h.takeUpdates() == ["a@1"])
        #expect(h.group.resources(typeURL: XDSType.cds.typeURL).map(HomeHarness.content) == [1])
    }
}
