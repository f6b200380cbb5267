import Testing

@testable import WeirHTTP1

@Suite("What clients say of the answers they take") struct NegotiationTests {
    @Test(
        "gzip is sent where it is preferred or as welcome as anything",
        arguments: [
            (nil, false), ("", false), ("gzip", true), ("GZip", true), ("x-gzip", true), ("deflate, gzip;q=0.5", true),
            ("gzip;q=0", false), ("gzip; q=0.0", false), ("*", true), ("*;q=0", false), ("*;q=0, gzip", true),
            ("identity", false), ("identity, gzip;q=0.5", false), ("identity;q=0.5, gzip", true), ("br", false),
            ("gzip;q=banana", false), ("gzip;q=7", false), (" gzip ; q=1 ,", true), (";;,,;q=", false),
        ] as [(String?, Bool)])
    func encodings(_ header: String?, _ expected: Bool) { #expect(Negotiation.prefersGzip(header) == expected) }

    @Test(
        "an entity tag is found in a list, weak or strong",
        arguments: [
            (nil, false), ("\"a\"", true), ("W/\"a\"", true), ("\"b\", \"a\"", true), ("*", true), (" * ", true),
            ("\"b\"", false), ("a", false), ("", false),
        ] as [(String?, Bool)])
    func tags(_ header: String?, _ expected: Bool) { #expect(Negotiation.matches(header, tag: "\"a\"") == expected) }
}
