import Testing

@testable import WeirTLS

@Suite("Allowed names")
struct SubjectAltNameTests {
    @Test(
        "patterns match what they say and nothing else",
        arguments: [
            ("spiffe://prod/ns/*/sa/envoy", "spiffe://prod/ns/web/sa/envoy", true),
            ("spiffe://prod/ns/*/sa/envoy", "spiffe://prod/ns/web/x/sa/envoy", false),
            ("spiffe://prod/ns/*/sa/envoy", "spiffe://prod/ns//sa/envoy", false),
            ("spiffe://prod/ns/*/sa/envoy", "spiffe://prod/ns/web/sa/envoy2", false),
            ("spiffe://prod/ns/*/sa/envoy", "xspiffe://prod/ns/web/sa/envoy", false),
            ("spiffe://prod/ns/*/sa/envoy", "spiffe://PROD/ns/web/sa/envoy", false),
            ("spiffe://prod/**", "spiffe://prod/ns/web/sa/envoy", true),
            ("spiffe://prod/**", "spiffe://production/ns", false),
            ("spiffe://*/ns/**/envoy", "spiffe://a.b/ns/web/sa/envoy", true),
            ("spiffe://prod/ns/web-*", "spiffe://prod/ns/web-", true),
            ("spiffe://prod/ns/web-*", "spiffe://prod/ns/web-1/sa", false),
            ("**/sa/envoy", "spiffe://prod/ns/web/sa/envoy", true),
            ("*.example.com", "a.example.com", true), ("*.example.com", "A.Example.COM", true),
            ("*.example.com", "a.b.example.com", false), ("*.example.com", ".example.com", false),
            ("*.example.com", "example.com", false), ("**.example.com", "a.b.example.com", true),
            ("envoy-*.example.com", "envoy-1.example.com", true),
            ("envoy-*.example.com", "envoy-1.x.example.com", false),
            ("example.com", "exampleXcom", false), ("example.com", "example.com", true), ("", "example.com", false),
            ("*", "localhost", true), ("*", "a.b", false), ("*", "spiffe://x", false),
            ("**", "a.b", true), ("**", "spiffe://x/y", true),
            ("*.example.com", "urn:a.example.com", false), ("**.example.com", "urn:a.example.com", false),
            ("spiffe://prod/**", "prod", false),
        ])
    func matches(pattern: String, san: String, expected: Bool) {
        #expect(sanMatches(pattern: pattern, san: san) == expected)
    }

    @Test("a hostile name costs no more than the product of the lengths")
    func hostile() {
        let pattern = "spiffe://" + String(repeating: "*a", count: 100)
        #expect(!sanMatches(pattern: pattern, san: "spiffe://" + String(repeating: "a", count: 2_000) + "b"))
    }
}
