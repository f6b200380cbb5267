import Testing
import WeirBase

@testable import WeirHTTP2

@Suite struct FramingTests {
    private func feed(_ deframer: inout MessageDeframer, _ bytes: [UInt8]) throws -> (messages: [[UInt8]], whole: Int) {
        var position = 0
        var messages: [[UInt8]] = []
        var whole = 0
        while true {
            switch try deframer.next(in: bytes.span, from: &position) {
            case .nothing: return (messages, whole)
            case .inPlace(let range):
                messages.append(Array(bytes[range.offset..<range.end]))
                whole += 1
            case .gathered(let message): messages.append(message)
            }
        }
    }

    @Test("messages that lie whole in the bytes are found in place")
    func inPlace() throws {
        var deframer = MessageDeframer(messageBytesMax: 100)
        let found = try self.feed(&deframer, GRPCFrame.body([1, 2]).bytes + GRPCFrame.body([]).bytes + [0, 0])
        #expect(found.messages == [[1, 2], []])
        #expect(found.whole == 2)
        #expect(deframer.partialCount == 2)
        // A cut within the prefix alone does not cost a copy.
        #expect(try self.feed(&deframer, [0, 0, 3, 7, 8, 9]).whole == 1)
    }

    @Test("a message in the middle of which a limit lies is refused, one at the limit is taken")
    func limit() throws {
        var deframer = MessageDeframer(messageBytesMax: 3)
        #expect(try self.feed(&deframer, [0, 0, 0, 0, 3, 1, 2, 3]).messages == [[1, 2, 3]])
        #expect(throws: GRPCFailure(.resourceExhausted, "message of 4 bytes is over the limit of 3 bytes")) {
            try self.feed(&deframer, [0, 0, 0, 0, 4])
        }
    }

    @Test("a length of 4 GiB costs no memory before it is refused, and an unknown flag is INTERNAL")
    func hostile() {
        var deframer = MessageDeframer(messageBytesMax: Int.max)
        #expect(throws: Never.self) { try self.feed(&deframer, [0, 255, 255, 255, 255]) }
        #expect(deframer.partialCount == 5)
        var other = MessageDeframer(messageBytesMax: 10)
        #expect(throws: GRPCFailure(.internal, "invalid compressed flag 2")) { try self.feed(&other, [2, 0, 0, 0, 0]) }
    }

    @Test(
        "grpc-timeout",
        arguments: [
            ("1H", Nanoseconds.seconds(3600)), ("2M", .seconds(120)), ("3S", .seconds(3)), ("4m", .milliseconds(4)),
            ("5u", .microseconds(5)), ("6n", Nanoseconds(rawValue: 6)), ("99999999H", Nanoseconds(rawValue: .max)),
            ("0S", .zero),
        ])
    func timeout(text: String, value: Nanoseconds) { #expect(GRPCTimeout.parse(Array(text.utf8)) == value) }

    @Test("malformed grpc-timeout", arguments: ["", "S", "5", "123456789S", "-1S", "1.5S", "1s", "1 S"])
    func malformedTimeout(text: String) { #expect(GRPCTimeout.parse(Array(text.utf8)) == nil) }

    @Test("grpc-message keeps what is plain and escapes the rest")
    func encoding() {
        #expect(String(decoding: StatusMessageEncoding.encode("a b%\n~ü"), as: UTF8.self) == "a b%25%0A~%C3%BC")
        #expect(StatusMessageEncoding.decode(Array("%zz%4".utf8)) == "%zz%4")
        #expect(StatusMessageEncoding.decode(Array("%e6%97%A5".utf8)) == "日")
        let cut = StatusMessageEncoding.encode(String(repeating: "日", count: 1000), bytesMax: 100)
        #expect(cut.count == 99)
        #expect(StatusMessageEncoding.decode(cut) == String(repeating: "日", count: 11))
    }
}
