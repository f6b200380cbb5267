import Testing
import WeirTLS

@Suite("Encrypted records")
struct RecordCipherTests {
    private let place = Array("R1 a".utf8)

    @Test("what is sealed opens with the same key at the same place only")
    func seal() throws {
        let cipher = try #require(RecordCipher(key: [UInt8](repeating: 7, count: 32)))
        let other = try #require(RecordCipher(key: [UInt8](repeating: 8, count: 32)))
        for plain in [[], Array("secret".utf8), [UInt8](repeating: 1, count: 100_000)] {
            let sealed = try #require(cipher.seal(plain, boundTo: self.place))
            #expect(cipher.open(sealed, boundTo: self.place) == plain)
            #expect(cipher.open(sealed, boundTo: self.place + [0]) == nil)
            #expect(other.open(sealed, boundTo: self.place) == nil)
        }
        #expect(RecordCipher(key: [1, 2, 3]) == nil)
    }

    @Test("no truncation and no flip gets through")
    func damage() throws {
        let cipher = try #require(RecordCipher(key: [UInt8](repeating: 7, count: 32)))
        let sealed = try #require(cipher.seal(Array("secret".utf8), boundTo: self.place))
        for count in sealed.indices { #expect(cipher.open(Array(sealed.prefix(count)), boundTo: self.place) == nil) }
        for bit in 0..<8 * sealed.count {
            var flipped = sealed
            flipped[bit / 8] ^= 1 << UInt8(bit % 8)
            #expect(cipher.open(flipped, boundTo: self.place) == nil)
        }
    }

    @Test("the same text is never the same twice")
    func nonces() throws {
        let cipher = try #require(RecordCipher(key: [UInt8](repeating: 7, count: 32)))
        let texts = Set((0..<1000).compactMap { _ in cipher.seal([1], boundTo: self.place) })
        #expect(texts.count == 1000)
    }
}
