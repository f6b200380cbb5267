import WeirTLS

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

    /// What `--ca`, and `--certificate`, `--key` and `--server-name` beside it, ask for; nil: plaintext.
    func clientTLS() throws -> TLSContext? {
        guard let ca = self.optional("ca") else { return nil }
        return try TLSContext.client(
            TLSClientConfiguration(
                ca: ca, certificateChain: self.optional("certificate"), privateKey: self.optional("key"),
                serverName: self.optional("server-name")))
    }
}
