import Testing

@testable import WeirBase

@Suite struct NearestNameTests {
    @Test(
        "a near miss finds what was meant",
        arguments: [("lisen", "listen"), ("LISTEN", "listen"), ("upstrem", "upstream"), ("lsiten", "listen")])
    func near(_ name: String, _ meant: String) {
        #expect(nearestName(to: name, among: ["listen", "upstream", "workers"]) == meant)
    }

    @Test("what is far from everything finds nothing", arguments: ["telephone", "abcdefghi"])
    func far(_ name: String) {
        #expect(nearestName(to: name, among: ["listen", "upstream", "workers"]) == nil)
        #expect(nearestName(to: name, among: []) == nil)
    }

    @Test("the first by alphabet wins among equals, and nothing is near nothing")
    func ties() {
        #expect(nearestName(to: "cat", among: ["cut", "cot"]) == "cot")
        #expect(nearestName(to: "", among: ["longer"]) == nil)
        let long = String(repeating: "x", count: 200)
        #expect(nearestName(to: long + "y", among: [long]) == nil, "names above 200 bytes are not compared")
        #expect(nearestName(to: long, among: [long + "y", long]) == long)
    }
}
