import Glibc
import WeirBase

/// What happened, for the script: one JSON object a line.
func report(_ event: String, _ fields: [(String, String)]) {
    var line = "{\"event\": \"\(event)\""
    for (name, value) in fields { line += ", \"\(name)\": \(value)" }
    write(line + "}", to: 1)
}

func milliseconds(_ duration: Nanoseconds) -> String {
    let micros = duration.rawValue / 1000
    return "\(micros / 1000).\(String(1000 + micros % 1000).dropFirst())"
}

/// For people, on standard error.
func complain(_ text: String) { write(text, to: 2) }

private func write(_ line: String, to descriptor: CInt) {
    let bytes = Array((line + "\n").utf8)
    _ = unsafe Glibc.write(descriptor, bytes, bytes.count)
}
