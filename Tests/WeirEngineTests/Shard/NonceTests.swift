import Testing
import WeirBase

@testable import WeirEngine

@Suite struct NonceTests {
    private func read(_ text: String) -> Nonce? {
        let bytes = Array(text.utf8)
        return Nonce(ByteRange(offset: 0, count: bytes.count), in: bytes.span)
    }

    @Test("a nonce comes back from its text", arguments: [0, 1, 0xF, 0x10, 0xABC_DEF0, 0xFFF_FFFF] as [UInt32])
    func roundTrip(_ value: UInt32) {
        let nonce = Nonce(rawValue: value)
        #expect(nonce.text.utf8.count == 8)
        #expect(self.read(nonce.text) == nonce)
        let field = nonce.field
        #expect((0..<10).map { field[$0] } == [0x2A, 0x08] + Array(nonce.text.utf8))
    }

    @Test(
        "other texts are no nonces",
        arguments: ["", "w", "w000001", "w00000001", "x0000001", "W0000001", "w000000G", "w000000A", "w 000001"])
    func foreign(_ text: String) { #expect(self.read(text) == nil) }

    @Test("SOTW-11 nonces go round without ever being none")
    func wrapping() {
        #expect(Nonce.none.next.rawValue == 1)
        #expect(Nonce(rawValue: 0xFFF_FFFF).next.rawValue == 1)
        #expect(Nonce(rawValue: 0xFFFF_FFFF).rawValue == 0xFFF_FFFF)
    }

    @Test("DELTA-17 how long ago a nonce was is counted backwards")
    func distance() {
        let newest = Nonce(rawValue: 5)
        #expect(newest.distance(to: Nonce(rawValue: 5)) == 0)
        #expect(newest.distance(to: Nonce(rawValue: 2)) == 3)
        #expect(newest.distance(to: Nonce(rawValue: 6)) > 1_000_000)
    }
}
