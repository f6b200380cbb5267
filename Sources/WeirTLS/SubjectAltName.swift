/// A name in a certificate. The kinds are kept apart so that a URI never passes for a host.
package enum SubjectAltName: Hashable, Sendable, CustomStringConvertible {
    case uri(String)
    case dns(String)

    /// `URI:spiffe://…` or `DNS:…`
    package var description: String {
        switch self {
        case .uri(let name): "URI:\(name)"
        case .dns(let name): "DNS:\(name)"
        }
    }
}

/// Who the peer has proved to be.
package struct PeerIdentity: Hashable, Sendable {
    package let uriSANs: [String]
    package let dnsSANs: [String]
    /// RFC 2253 form: `CN=envoy,O=example`. For logs; nothing is decided by it.
    package let subject: String

    package init(uriSANs: [String], dnsSANs: [String], subject: String) {
        self.uriSANs = uriSANs
        self.dnsSANs = dnsSANs
        self.subject = subject
    }

    /// URIs first.
    package var names: [SubjectAltName] {
        self.uriSANs.map { SubjectAltName.uri($0) } + self.dnsSANs.map { SubjectAltName.dns($0) }
    }

    /// Whether one of the names matches one of the patterns.
    package func matches(anyOf patterns: [String]) -> Bool {
        patterns.contains { pattern in self.names.contains { sanMatches(pattern: pattern, $0) } }
    }
}

/// Whether an `allowed_sans` pattern matches a name.
///
/// `*` stays within one path segment of a URI or one label of a DNS name, `**` does not; standing for a whole segment or
/// label, `*` needs at least one character. Everything else matches itself; DNS names do so in either case. A pattern
/// with `:` or `/` is for URIs, one without for DNS names, and a lone `**` for both.
package func sanMatches(pattern: String, _ name: SubjectAltName) -> Bool {
    let isForURI = pattern.utf8.contains { $0 == UInt8(ascii: ":") || $0 == UInt8(ascii: "/") }
    switch name {
    case .uri(let text):
        guard isForURI || pattern == "**" else { return false }
        return GlobPattern(pattern, separator: UInt8(ascii: "/")).matches(text)
    case .dns(let text):
        guard !isForURI else { return false }
        return GlobPattern(pattern.lowercased(), separator: UInt8(ascii: ".")).matches(text.lowercased())
    }
}

/// The same for a name whose kind shows: DNS names contain no colon.
package func sanMatches(pattern: String, san: String) -> Bool {
    sanMatches(pattern: pattern, san.utf8.contains(UInt8(ascii: ":")) ? .uri(san) : .dns(san))
}

/// A pattern as a list of steps, run against a name for all prefixes at once: time is at most the product of the two
/// lengths, whatever the name.
private struct GlobPattern {
    private enum Step: Equatable {
        case byte(UInt8)
        /// One byte that is no separator.
        case oneWithin
        /// Any number of bytes that are no separators.
        case manyWithin
        /// Any number of bytes.
        case many
    }

    private let steps: [Step]
    private let separator: UInt8

    init(_ pattern: String, separator: UInt8) {
        let bytes = Array(pattern.utf8)
        let star = UInt8(ascii: "*")
        var steps: [Step] = []
        var index = 0
        while index < bytes.count {
            guard bytes[index] == star else {
                steps.append(.byte(bytes[index]))
                index += 1
                continue
            }
            var end = index
            while end < bytes.count, bytes[end] == star { end += 1 }
            if end - index > 1 {
                steps.append(.many)
            } else {
                let startsSegment = index == 0 || bytes[index - 1] == separator
                let endsSegment = end == bytes.count || bytes[end] == separator
                if startsSegment && endsSegment { steps.append(.oneWithin) }
                steps.append(.manyWithin)
            }
            index = end
        }
        self.steps = steps
        self.separator = separator
    }

    func matches(_ name: String) -> Bool {
        // reachable[i]: the first i steps match what has been read so far.
        var reachable = [Bool](repeating: false, count: self.steps.count + 1)
        reachable[0] = true
        self.skipEmpty(&reachable)
        for byte in name.utf8 {
            var next = [Bool](repeating: false, count: self.steps.count + 1)
            for (index, step) in self.steps.enumerated() where reachable[index] {
                switch step {
                case .byte(let wanted): if byte == wanted { next[index + 1] = true }
                case .oneWithin: if byte != self.separator { next[index + 1] = true }
                case .manyWithin: if byte != self.separator { next[index] = true }
                case .many: next[index] = true
                }
            }
            self.skipEmpty(&next)
            reachable = next
        }
        return reachable[self.steps.count]
    }

    private func skipEmpty(_ reachable: inout [Bool]) {
        for (index, step) in self.steps.enumerated() where reachable[index] && (step == .many || step == .manyWithin) {
            reachable[index + 1] = true
        }
    }
}
