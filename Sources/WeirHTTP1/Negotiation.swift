/// What a client says in its headers about the answers it takes.
package enum Negotiation {
    /// Whether `Accept-Encoding` prefers gzip to the plain body, or likes both equally (RFC 9110, 12.5.3).
    package static func prefersGzip(_ acceptEncoding: String?) -> Bool {
        guard let header = acceptEncoding else { return false }
        var qualities: [String: Double] = [:]
        for element in header.split(separator: ",") {
            let parts = element.split(separator: ";").map { Self.trimmed($0).lowercased() }
            guard let coding = parts.first, !coding.isEmpty else { continue }
            qualities[coding == "x-gzip" ? "gzip" : coding] = Self.quality(parts.dropFirst())
        }
        let gzip = qualities["gzip"] ?? qualities["*"] ?? 0
        return gzip > 0 && gzip >= qualities["identity"] ?? 0
    }

    /// Whether `If-None-Match` names the entity tag, or any (RFC 9110, 13.1.2). Weak comparison.
    package static func matches(_ ifNoneMatch: String?, tag: String) -> Bool {
        guard let header = ifNoneMatch else { return false }
        if Self.trimmed(header[...]) == "*" { return true }
        return header.split(separator: ",").contains { element in
            let candidate = Self.trimmed(element)
            return (candidate.hasPrefix("W/") ? String(candidate.dropFirst(2)) : candidate) == tag
        }
    }

    /// Whether `If-Match` names the entity tag, or any (RFC 9110, 13.1.1). Strong comparison: a weak tag names nothing.
    package static func matchesStrongly(_ ifMatch: String, tag: String) -> Bool {
        if Self.trimmed(ifMatch[...]) == "*" { return true }
        return ifMatch.split(separator: ",").contains { Self.trimmed($0) == tag }
    }

    /// `q=0.5` among the parameters; one without is wanted, and one that cannot be read is not.
    private static func quality(_ parameters: ArraySlice<String>) -> Double {
        guard let weight = parameters.first(where: { $0.hasPrefix("q=") }) else { return 1 }
        guard let value = Double(weight.dropFirst(2)), value >= 0, value <= 1 else { return 0 }
        return value
    }

    private static func trimmed(_ text: Substring) -> String {
        let start = text.drop { $0 == " " || $0 == "\t" }
        let end = start.lastIndex { $0 != " " && $0 != "\t" }
        return end.map { String(start[...$0]) } ?? ""
    }
}
