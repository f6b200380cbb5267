/// What is fed with arbitrary bytes, by libFuzzer (`make fuzz`) and, with the inputs that are kept, by every test run.
///
/// Each target is one function from bytes to nothing: it must neither crash nor stall nor leak, and what it checks on
/// the way must hold. The first byte or bytes of an input often choose what is done with the rest.
package enum FuzzTarget: String, CaseIterable, Sendable {
    /// The discovery messages and nodes (WeirXDS).
    case envelope
    /// Length-prefixed gRPC messages, gzip included (WeirHTTP2).
    case deframing
    /// HTTP/2 connections, as server and as client (WeirHTTP2).
    case http2
    /// Rules and rule files with nodes (WeirRules, WeirRegex).
    case rules
    /// YAML, relay.yaml, rule files and nodes in JSON (WeirYAML, WeirConfig).
    case config
    /// Resource files, and resources as JSON (WeirFiles, WeirProtobuf).
    case files
    /// Shards, a home, and what clients and servers say to them (WeirEngine).
    case engine
    /// Records of the state on disk (WeirStore).
    case store

    /// Does with the input whatever the target is for.
    package func run(_ input: [UInt8]) throws(FuzzFinding) {
        switch self {
        case .envelope: try fuzzEnvelope(input)
        case .deframing: try fuzzDeframing(input)
        case .http2: try fuzzHTTP2(input)
        case .rules: try fuzzRules(input)
        case .config: try fuzzConfig(input)
        case .files: try fuzzFiles(input)
        case .engine: try fuzzEngine(input)
        case .store: try fuzzStore(input)
        }
    }
}

/// Something that must hold and does not.
package struct FuzzFinding: Error, Hashable, Sendable, CustomStringConvertible {
    package var description: String
}

/// Ends the input with a finding unless `condition` holds.
func check(_ condition: Bool, _ expected: @autoclosure () -> String) throws(FuzzFinding) {
    guard condition else { throw FuzzFinding(description: expected()) }
}

/// Takes an input apart, from the front. Where it is at its end, everything is zero and empty.
struct FuzzInput {
    private let bytes: [UInt8]
    private var position = 0

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    var isEmpty: Bool { self.position >= self.bytes.count }

    mutating func byte() -> UInt8 {
        guard !self.isEmpty else { return 0 }
        self.position += 1
        return self.bytes[self.position - 1]
    }

    /// The next bytes, fewer if there are no more.
    mutating func bytes(_ count: Int) -> [UInt8] {
        let end = min(self.bytes.count, self.position + count)
        defer { self.position = end }
        return Array(self.bytes[self.position..<end])
    }

    /// Up to the next byte 0xFF, which stands in no text and is passed over, or all.
    mutating func piece() -> [UInt8] {
        let rest = self.bytes[self.position...]
        let end = rest.firstIndex(of: 0xFF) ?? rest.endIndex
        self.position = min(end + 1, self.bytes.count)
        return Array(rest[..<end])
    }

    mutating func text() -> String { String(decoding: self.piece(), as: UTF8.self) }

    mutating func rest() -> [UInt8] { self.bytes(self.bytes.count) }
}
