import Testing
import WeirBase
import WeirXDS

@testable import WeirEngine

@Suite struct UncachedTests {
    /// `cache_control { do_not_cache: true }`
    private static let mark: [UInt8] = [0x3A, 0x02, 0x08, 0x01]

    private static func say(_ h: ContentHarness, _ type: XDSType, _ name: String, _ content: Int) {
        var wrapper = WireWriter()
        wrapper.string(1, XDSType.wrapperURL)
        let entry = ContentHarness.entry(type, name, content, extra: Self.mark)
        wrapper.message(2, entry)
        h.respond(type, [h.home.variant == .delta ? entry : wrapper.bytes])
    }

    @Test("AGG-23 who asks for what must not be cached waits for it to be fetched anew, others are not disturbed")
    func fetchedAnew() {
        for variant in ProtocolVariant.allCases {
            for type in [XDSType.eds, .cds] {
                let h = ContentHarness(variant)
                let first = h.connect(.delta)
                first.subscribe(type, ["a"])
                Self.say(h, type, "a", 1)
                #expect(first.takeAndAck() == ["\(type.label) a@1"])
                for down in ProtocolVariant.allCases {
                    let second = h.connect(down)
                    h.advance(.milliseconds(20))
                    _ = h.takeUpstream()
                    second.subscribe(type, ["a"])
                    h.advance(.milliseconds(20))
                    #expect(second.take() == [])
                    let again = variant == .delta ? ["-a", "+a"] : ["[]", "[a]"]
                    #expect(h.takeUpstream() == again.map { "0 \(type.label) \($0)" })
                    Self.say(h, type, "a", 1)
                    #expect(second.takeAndAck() == [down == .delta ? "\(type.label) a@1" : "\(type.label) [a@1]"])
                    #expect(first.take() == [])
                    // From here on it is like any other.
                    Self.say(h, type, "a", 2)
                    #expect(first.takeAndAck() == ["\(type.label) a@2"])
                    #expect(second.takeAndAck() == [down == .delta ? "\(type.label) a@2" : "\(type.label) [a@2]"])
                    Self.say(h, type, "a", 1)
                    #expect(first.takeAndAck().count + second.takeAndAck().count == 2)
                }
            }
        }
    }

    @Test("AGG-23 the other names of a request are answered from the cache meanwhile")
    func others() {
        let h = ContentHarness(.delta)
        let first = h.connect(.delta)
        first.subscribe(.eds, ["a", "b"])
        Self.say(h, .eds, "a", 1)
        h.say(.eds, "b", 1)
        first.takeAndAck()
        first.takeAndAck()
        let second = h.connect(.delta)
        second.subscribe(.eds, ["a", "b"])
        #expect(second.takeAndAck() == ["eds b@1"])
        h.say(.eds, "b", 2)
        #expect(second.takeAndAck() == ["eds b@2"])
        Self.say(h, .eds, "a", 1)
        #expect(second.takeAndAck() == ["eds a@1"])
        // Asked for again, it is fetched again.
        second.subscribe(.eds, ["a"])
        #expect(second.take() == [])
        Self.say(h, .eds, "a", 1)
        #expect(second.takeAndAck() == ["eds a@1"])
        first.takeAndAck()
        #expect(ShardInspection(h.shard).faults == [])
    }

    @Test("AGG-23 UP-08 after a reconnection the server is not told of a version of it, so that it sends it")
    func reconnection() {
        let h = HomeHarness(.delta)
        h.join()
        h.want(.eds, ["a", "b"])
        h.open()
        h.delta(.eds, "n", ["b@1"], raw: [ContentHarness.entry(.eds, "a", 1, extra: Self.mark)])
        _ = h.takeRequests()
        h.lose()
        h.open()
        #expect(h.takeRequests() == ["0 node eds +a,b irv=b@1"])
    }
}
