import Testing
import WeirBase
import WeirGzip

@Suite("gzip") struct GzipTests {
    @Test("what is deflated is inflated to the same, and is smaller where it repeats itself")
    func roundTrip() throws {
        for count in [0, 1, 1000, 300_000] {
            let input = (0..<count).map { UInt8(truncatingIfNeeded: $0 % 251) }
            let packed = try #require(gzip(input))
            #expect(packed.starts(with: [0x1F, 0x8B]))
            #expect(try gunzip(packed.span, bytesMax: count) == input)
            if count >= 1000 { #expect(packed.count < count) }
        }
    }

    @Test("what does not get smaller is deflated all the same")
    func noise() throws {
        var generator = SeededGenerator(seed: 7)
        let input = (0..<100_000).map { _ in UInt8.random(in: 0...255, using: &generator) }
        let packed = try #require(gzip(input))
        #expect(try gunzip(packed.span, bytesMax: input.count) == input)
    }
}
