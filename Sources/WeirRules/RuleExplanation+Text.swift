import WeirBase

extension RuleExplanation {
    /// For people: `key: K`, then the rule, what was caught, and why each earlier rule did not match. Ends with a
    /// newline. Without a match the first line is `no rule matched`; where `identity` forbids the claim, a line before it
    /// says so.
    package var text: String {
        var lines: [String] = []
        switch self.outcome {
        case .matched(let match):
            lines = ["key: \(match.key)", "rule: \(match.rule)", "upstream: \(match.upstream)"]
            if !match.captures.isEmpty { lines.append("captures:") }
            lines += match.captures.map { "  \($0.name): \($0.value)" }
        case .failure(let text): lines = ["no rule matched", "error: \(text)"]
        case .noMatch: lines = ["no rule matched"]
        }
        if let denial = self.denial { lines.insert("denied: \(denial)", at: 0) }
        if !self.rejected.isEmpty { lines.append("rejected:") }
        lines += self.rejected.map { "  \($0.rule): \($0.reason)" }
        return lines.joined(separator: "\n") + "\n"
    }

    /// For programs: `{"key","rule","upstream","captures":{},"rejected":[{"rule","reason"}]}`. Without a match the first
    /// three are null; `denied` is there where `identity` forbids the claim, `error` where a rule file of the Go xds-relay
    /// refuses the request.
    package var json: String {
        var match: RuleMatch?
        if case .matched(let found) = self.outcome { match = found }
        var text = "{"
        appendMember("key", match?.key, to: &text)
        appendMember("rule", match?.rule, to: &text)
        appendMember("upstream", match?.upstream, to: &text)
        appendJSONString("captures", to: &text)
        text += ":{"
        for (i, capture) in (match?.captures ?? []).enumerated() {
            if i > 0 { text += "," }
            appendJSONString(capture.name, to: &text)
            text += ":"
            appendJSONString(capture.value, to: &text)
        }
        text += "},"
        if let denial = self.denial { appendMember("denied", denial, to: &text) }
        if case .failure(let error) = self.outcome { appendMember("error", error, to: &text) }
        appendJSONString("rejected", to: &text)
        text += ":["
        for (i, rejected) in self.rejected.enumerated() {
            text += i > 0 ? ",{" : "{"
            appendMember("rule", rejected.rule, to: &text)
            appendMember("reason", rejected.reason, to: &text, isLast: true)
            text += "}"
        }
        return text + "]}"
    }
}

private func appendMember(_ name: String, _ value: String?, to text: inout String, isLast: Bool = false) {
    appendJSONString(name, to: &text)
    text += ":"
    if let value { appendJSONString(value, to: &text) } else { text += "null" }
    if !isLast { text += "," }
}
