import Testing
import WeirXDS

@Suite struct ResourceNameTests {
    @Test("NAME-02 the order of context parameters does not matter, everything else does")
    func canonical() {
        #expect(ResourceName.canonical("xdstp://a/t/foo?b=2&a=1") == "xdstp://a/t/foo?a=1&b=2")
        #expect(ResourceName.canonical("xdstp://a/t/foo?b=2&a=1#x") == "xdstp://a/t/foo?a=1&b=2#x")
        #expect(ResourceName.canonical("xdstp://a/t/foo?a=1&b=2") == "xdstp://a/t/foo?a=1&b=2")
        for name in ["xdstp://a/t/foo", "xdstp://a/t/foo?", "xdstp:?", "xdstp:#?b&a", "", "foo?b=2&a=1", "XDSTP:?b&a"] {
            #expect(ResourceName.canonical(name) == name)
        }
    }

    @Test("NAME-01 NAME-03 old-style names are in no collection, but those of endpoints")
    func globs() {
        #expect(ResourceName.isGlob("xdstp://a/t/foo/*", type: .cds))
        #expect(ResourceName.isGlob("xdstp://a/t/foo/*?t=1", type: .cds))
        #expect(ResourceName.isGlob("c/*", type: .leds))
        for name in ["foo/*", "*", "/*", "outbound|80||x/y*z", "xdstp://a/t/foo", "xdstp://a/t/foo?x=/*"] {
            #expect(!ResourceName.isGlob(name, type: .cds), "\(name)")
        }
        #expect(!ResourceName.isGlob("*", type: .leds))
        #expect(!ResourceName.isGlob("rc/*", type: .vhds))
    }

    @Test("NAME-03 a name is in the collection of its directory, with the same authority, type and parameters")
    func collection() {
        #expect(ResourceName.collection(of: "xdstp://a/t/foo/a?t=1", type: .eds) == "xdstp://a/t/foo/*?t=1")
        #expect(ResourceName.collection(of: "xdstp://a/t/foo/x/a?t=1", type: .eds) == "xdstp://a/t/foo/x/*?t=1")
        #expect(ResourceName.parent(ofGlob: "xdstp://a/t/foo/x/*?t=1") == "xdstp://a/t/foo/*?t=1")
        #expect(ResourceName.collection(of: "xdstp://a/t/foo", type: .eds) == "xdstp://a/t/*")
        #expect(ResourceName.collection(of: "xdstp://a/t", type: .eds) == nil)
        #expect(ResourceName.parent(ofGlob: "xdstp://a/t/*") == nil)
        #expect(ResourceName.collection(of: "c/1", type: .leds) == "c/*")
        #expect(ResourceName.collection(of: "c/1", type: .eds) == nil)
        #expect(ResourceName.collection(of: "1", type: .leds) == nil)
        #expect(ResourceName.collection(of: "/1", type: .leds) == nil)
    }

    @Test("NAME-07 the authority of a name is what stands between the slashes, and old-style names have none")
    func authority() {
        #expect(ResourceName.authority(of: "xdstp://a.example/t/x?k=v") == "a.example")
        #expect(ResourceName.authority(of: "xdstp://a.example:1/t/*") == "a.example:1")
        #expect(ResourceName.authority(of: "xdstp://a.example?k=/v") == "a.example")
        for name in ["xdstp:///t/x", "xdstp:/t/x", "xdstp:", "xdstp://", "http://a.example/x", "a", "", "//a/b"] {
            #expect(ResourceName.authority(of: name) == nil, "\(name)")
        }
    }
}
