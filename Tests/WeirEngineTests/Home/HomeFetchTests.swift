import Testing
import WeirBase
import WeirXDS

@testable import WeirEngine

/// What the origin wants to be asked for each time (`cache_control.do_not_cache`).
@Suite struct HomeFetchTests {
    private func uncached(_ name: String, _ version: String) -> [UInt8] {
        HomeHarness.envelope(name, version, HomeHarness.any(.eds, "\(name)@\(version)"), uncached: true)
    }

    private func warmed() -> HomeHarness {
        let h = HomeHarness(.delta)
        h.join()
        h.want(.eds, ["a", "b"])
        h.open()
        h.delta(.eds, "n1", ["b@1"], raw: [self.uncached("a", "1")])
        _ = h.takeRequests()
        _ = h.takeUpdates()
        return h
    }

    @Test(
        "AGG-23 a name to be fetched is given up and asked for again, and its answer is published though it is the same"
    )
    func renewal() {
        let h = self.warmed()
        h.wantSoon(.eds, renewing: ["a", "b", "never-heard-of"])
        h.advance(.milliseconds(10))
        #expect(h.takeRequests() == ["0 eds -a", "0 eds +a"])
        h.delta(.eds, "n2", raw: [self.uncached("a", "1")])
        #expect(h.takeUpdates() == ["'a@1"])
        // Unasked, it is what is held; that the server calls the state by another version is all there is to tell.
        h.delta(.eds, "n3", raw: [self.uncached("a", "1")])
        #expect(h.takeUpdates() == [""])
    }

    @Test("AGG-23 another worker is not told what must be fetched for it")
    func anotherWorker() {
        let h = self.warmed()
        h.join(1)
        h.want(.eds, ["a", "b"], worker: 1)
        #expect(h.takeUpdates(workers: 2) == ["'b@1"])
        #expect(h.takeRequests() == ["0 eds -a", "0 eds +a"])
        h.delta(.eds, "n2", raw: [self.uncached("a", "1")])
        #expect(h.takeUpdates(workers: 2) == ["'a@1"])
    }

    @Test("AGG-23 NAME-03 another worker is told of a collection's members, be they held against their origin's wish")
    func member() {
        let h = HomeHarness(.delta)
        h.join()
        h.want(.leds, ["c/*"])
        h.open()
        let any = HomeHarness.any(.leds, "c/1@1")
        h.delta(.leds, "n1", raw: [HomeHarness.envelope("c/1", "1", any, uncached: true)])
        _ = h.takeUpdates()
        h.join(1)
        h.want(.leds, ["c/*"], worker: 1)
        #expect(h.takeUpdates(workers: 2) == ["'+c/* 'c/1@1"])
    }

    @Test("AGG-23 a server that is asked on a new stream is not told that it is held")
    func newStream() {
        let h = self.warmed()
        h.lose()
        h.wantSoon(.eds, renewing: ["a"])
        h.open()
        #expect(h.takeRequests() == ["0 node eds +a,b irv=b@1"])
        h.delta(.eds, "n2", raw: [self.uncached("a", "1")])
        #expect(h.takeUpdates() == ["'a@1"])
    }

    @Test("AGG-23 in SotW the list goes once without the name")
    func sotw() {
        let h = self.warmedSotW()
        _ = h.takeRequests()
        h.wantSoon(.eds, renewing: ["a"])
        h.advance(.milliseconds(10))
        #expect(h.takeRequests() == ["0 eds v=1 n=n1 [b]", "0 eds v=1 n=n1 [a,b]"])
    }

    @Test("AGG-23 UP-13 a request for what must be fetched that crossed a response is made once more")
    func crossing() {
        let h = self.warmedSotW()
        h.wantSoon(.eds, renewing: ["a"])
        h.advance(.milliseconds(10))
        _ = h.takeRequests()
        // Sent before the server had read either: it dropped both, for their nonce was not the newest.
        h.sotw(.eds, "2", "n2", ["b@2"])
        #expect(h.takeRequests() == ["0 eds v=2 n=n2 [a,b]", "0 eds v=2 n=n2 [b]", "0 eds v=2 n=n2 [a,b]"])
        h.sotw(.eds, "2", "n3", [], raw: [self.wrapped("a", "1")])
        #expect(h.takeRequests() == ["0 eds v=2 n=n3 [a,b]"])
        #expect(h.takeUpdates().last == "'a@1")
    }

    @Test("AGG-23 UP-12 what must be fetched and is met with silence does not exist, while the stream is up")
    func silence() {
        let h = self.warmedSotW()
        h.wantSoon(.eds, renewing: ["a"])
        h.advance(.seconds(14))
        h.lose()
        h.advance(.seconds(20))
        h.open()
        _ = h.takeUpdates()
        h.advance(.seconds(14))
        #expect(h.takeUpdates() == [])
        h.advance(.seconds(1))
        #expect(h.takeUpdates() == ["'-a"])
        #expect(h.group.nextDeadline == nil)
        h.sotw(.eds, "2", "n2", [], raw: [self.wrapped("a", "1")])
        #expect(h.takeUpdates() == ["'a@1"])
    }

    private func warmedSotW() -> HomeHarness {
        let h = HomeHarness(.sotw)
        h.join()
        h.want(.eds, ["a", "b"])
        h.open()
        h.sotw(.eds, "1", "n1", ["b@1"], raw: [self.wrapped("a", "1")])
        return h
    }

    private func wrapped(_ name: String, _ version: String) -> [UInt8] {
        var wrapper = WireWriter()
        wrapper.string(1, XDSType.wrapperURL)
        wrapper.message(2, self.uncached(name, version))
        return wrapper.bytes
    }
}
