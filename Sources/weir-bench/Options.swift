import Glibc
import WeirBase

struct UsageError: Error, CustomStringConvertible {
    let description: String

    init(_ text: String) { self.description = text }
}

/// `--name value` pairs.
struct Options {
    private var values: [String: String] = [:]

    init(_ arguments: [String]) throws(UsageError) {
        var rest = arguments[...]
        while let name = rest.popFirst() {
            guard name.hasPrefix("--"), let value = rest.popFirst() else {
                throw UsageError("expected --name value, not \(name)")
            }
            self.values[String(name.dropFirst(2))] = value
        }
    }

    func text(_ name: String, _ otherwise: String? = nil) throws(UsageError) -> String {
        guard let value = self.values[name] ?? otherwise else { throw UsageError("--\(name) is missing") }
        return value
    }

    func number(_ name: String, _ otherwise: Int? = nil) throws(UsageError) -> Int {
        guard let text = self.values[name] else {
            guard let otherwise = otherwise else { throw UsageError("--\(name) is missing") }
            return otherwise
        }
        guard let value = Int(text), value >= 0 else { throw UsageError("--\(name): \(text) is not a number") }
        return value
    }

    func optional(_ name: String) -> String? { self.values[name] }
}

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
