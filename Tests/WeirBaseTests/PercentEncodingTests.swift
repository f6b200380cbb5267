import Testing
import WeirBase

@Suite struct PercentEncodingTests {
    @Test("what is not unreserved is encoded, byte by byte")
    func encoding() {
        #expect(percentEncoded("a-b.c_d~9/ &=\u{E9}%\n") == "a-b.c_d~9%2F%20%26%3D%C3%A9%25%0A")
    }

    @Test("what was encoded is decoded again, whatever it is", arguments: ["", "a-b.c_d~9", "/ &=%+", "ä€😀", "%2F"])
    func roundTrip(text: String) { #expect(percentDecoded(percentEncoded(text)) == text) }

    @Test(
        "what is no encoding stays as it is",
        arguments: [("%", "%"), ("%4", "%4"), ("%zz", "%zz"), ("%+4", "%+4"), ("%2f%2F", "//"), ("a+b", "a+b")])
    func lenient(encoded: String, decoded: String) { #expect(percentDecoded(encoded) == decoded) }
}
