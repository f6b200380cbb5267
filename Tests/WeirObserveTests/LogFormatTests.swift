import Testing
import WeirBase
import WeirObserve

private let wall = WallTime(rawValue: 1_772_352_309_250_000_000)

private func line(_ format: LogFormat, _ level: LogLevel, _ message: String, _ fields: [(String, String)] = [])
    -> String
{
    String(decoding: format.line(LogRecord(level, wall, message, fields)), as: UTF8.self)
}

struct LogFormatTests {
    @Test("a text line holds time, level, message and fields, quoted only where needed")
    func text() {
        #expect(
            line(.text, .info, "upstream connected", [("server", "127.0.0.1:1"), ("key", "a b"), ("none", "")])
                == "2026-03-01T08:05:09.250Z info  upstream connected server=127.0.0.1:1 key=\"a b\" none=\"\"\n")
        #expect(line(.text, .warning, "x") == "2026-03-01T08:05:09.250Z warning x\n")
        #expect(line(.text, .error, "x", [("a", "b=c"), ("q", "\"")]).hasSuffix(#" error x a="b=c" q="\"""# + "\n"))
    }

    @Test("a JSON line is one object; a field cannot pose as one of the line's own")
    func json() {
        #expect(
            line(.json, .debug, "m", [("key", "a \"b\""), ("level", "error")])
                == #"{"time":"2026-03-01T08:05:09.250Z","level":"debug","message":"m","key":"a \"b\"","_level":"error"}"#
                + "\n")
    }

    @Test("nothing from outside starts a line of its own or steers a terminal", arguments: LogFormat.allCases)
    func injection(format: LogFormat) {
        let evil = "x\n2026-03-01T08:05:09.250Z error forged\r\u{1B}[2J\u{9B}31m\0\u{7F}\u{2028}"
        let bytes = format.line(LogRecord(.info, wall, evil, [(evil, evil)]))
        #expect(bytes.last == 0x0A)
        #expect(bytes.dropLast().allSatisfy { $0 >= 0x20 && $0 < 0x7F })
        #expect(String(decoding: bytes, as: UTF8.self).contains(#"\u001b[2J\u009b31m\u0000\u007f\u2028"#))
    }

    @Test("a long value is cut between characters, with a mark", arguments: LogFormat.allCases)
    func long(format: LogFormat) {
        let text = line(format, .info, "m", [("node", "a" + String(repeating: "ä", count: 1_000_000))])
        #expect(text.utf8.count < LogFormat.valueBytesMax + 200)
        #expect(text.contains("aä" + String(repeating: "ä", count: LogFormat.valueBytesMax / 2 - 2) + "...(truncated)"))
    }

    @Test("too many fields are left out and counted")
    func manyFields() {
        let text = line(.text, .info, "m", (0..<100).map { ("f\($0)", "v") })
        #expect(text.contains(" f31=v fields_omitted=68\n"))
    }

    @Test("levels are ordered and read from their names")
    func levels() {
        #expect(LogLevel.allCases.allSatisfy { LogLevel($0.name) == $0 })
        #expect(LogLevel("warn") == .warning)
        #expect(LogLevel("INFO") == nil)
        #expect(LogLevel.debug < .info && LogLevel.info < .warning && LogLevel.warning < .error)
    }
}
