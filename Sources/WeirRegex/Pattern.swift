import CWeirRE2

/// Why a text is no usable pattern.
package struct PatternError: Error, Hashable, Sendable, CustomStringConvertible {
    /// RE2's reason, such as `missing closing )`.
    package var reason: String
    /// The part of the pattern that it names; empty if it names none.
    package var fragment: String
    /// Where that part stands, in characters from zero, if it stands in one place only.
    package var offset: Int?

    package var description: String {
        let position = self.offset.map { ", character \($0 + 1)" } ?? ""
        return self.fragment.isEmpty ? self.reason : "\(self.reason) (\"\(self.fragment)\"\(position))"
    }
}

/// A regular expression in RE2's syntax, compiled once.
///
/// Matching takes time linear in the text, whatever text and pattern are, and the compiled form is bounded by
/// `memoryMax`: neither a rule nor a hostile node can stall a loop. Usable from any thread.
/// `(?<name>…)` is accepted for `(?P<name>…)`.
@safe package final class Pattern: Sendable {
    /// Bound of the compiled program and of the automaton's cache together, in bytes.
    package static let memoryMax: Int64 = 2 << 20

    /// The pattern as it was given.
    package let text: String
    /// The names of the groups, from the first on; nil for groups without one.
    package let groupNames: [String?]

    /// RE2 objects may be used from several threads at once; this one is freed only in `deinit`.
    private nonisolated(unsafe) let raw: OpaquePointer

    package init(_ text: String) throws(PatternError) {
        let raw = try unsafe Pattern.compiled(text)
        let count = unsafe Int(weir_re2_group_count(raw))
        let names = (0..<count).map { group in
            unsafe weir_re2_group_name(raw, CInt(group + 1)).map { unsafe String(cString: $0) }
        }
        self.text = text
        self.groupNames = names
        unsafe self.raw = raw
        // RE2 lets a name stand twice; which of the groups would it mean?
        if let repeated = firstRepeated(names.compactMap { $0 }) {
            throw PatternError(reason: "two groups have the same name", fragment: repeated, offset: nil)
        }
    }

    deinit {
        unsafe weir_re2_free(self.raw)
    }

    private static func compiled(_ text: String) throws(PatternError) -> OpaquePointer {
        var translated = translatingNamedGroups(text)
        var reason = [CChar](repeating: 0, count: 200)
        var fragment = [CChar](repeating: 0, count: 200)
        let (reasonCount, fragmentCount) = (reason.count, fragment.count)
        let raw = translated.withUTF8 { utf8 in
            unsafe utf8.withMemoryRebound(to: CChar.self) { pattern in
                unsafe weir_re2_compile(
                    pattern.baseAddress, pattern.count, Pattern.memoryMax,
                    &reason, reasonCount, &fragment, fragmentCount)
            }
        }
        if let raw = unsafe raw { return unsafe raw }
        throw PatternError(reason: string(reason), fragment: string(fragment), in: text)
    }

    /// Matches the whole of `value`.
    package func fullMatch(_ value: String) -> PatternMatch? {
        self.match(value, anchor: WEIR_RE2_FULL)
    }

    /// Finds the leftmost match in `value`.
    package func search(_ value: String) -> PatternMatch? {
        self.match(value, anchor: WEIR_RE2_SEARCH)
    }

    /// Whether the pattern matches somewhere in `value`; cheaper than `search`.
    package func isFound(in value: String) -> Bool {
        var value = value
        return value.withUTF8 { unsafe self.spans($0, from: 0, anchor: WEIR_RE2_SEARCH, count: 0) != nil }
    }

    /// Replaces every match in `value` by what `template` expands to, as Go's `ReplaceAllString` does: `$1`, `${1}`,
    /// `$name`, `${name}`, `$$`. Without a match `value` comes back unchanged.
    package func replaceAll(in value: String, template: String) -> String {
        var value = value
        return value.withUTF8 { unsafe self.replaceAll(in: $0, template: ReplacementTemplate(template)) }
    }

    /// References of a template that stand for nothing, as the pattern has no such group.
    package func unknownReferences(in template: String) -> [String] {
        ReplacementTemplate(template).references.filter { name in
            guard let number = ReplacementTemplate.number(name) else { return !self.groupNames.contains(name) }
            return number > self.groupNames.count
        }
    }

    private func match(_ value: String, anchor: Int) -> PatternMatch? {
        var value = value
        return value.withUTF8 { utf8 -> PatternMatch? in
            guard let spans = unsafe self.spans(utf8, from: 0, anchor: anchor, count: self.groupNames.count + 1) else {
                return nil
            }
            let groups = spans.dropFirst().map { $0.map { unsafe string(utf8, $0) } }
            return PatternMatch(
                whole: spans[0].map { unsafe string(utf8, $0) } ?? "", groups: groups, names: self.groupNames)
        }
    }

    /// The byte ranges of the whole match and of the groups after it, `count` in all; nil without a match.
    private func spans(
        _ text: UnsafeBufferPointer<UInt8>, from start: Int, anchor: Int, count: Int
    ) -> [Range<Int>?]? {
        var offsets = [Int](repeating: -1, count: 2 * count)
        let isMatch = unsafe text.withMemoryRebound(to: CChar.self) { text in
            unsafe weir_re2_match(
                self.raw, text.baseAddress, text.count, start, CInt(anchor), &offsets, CInt(count)) == 1
        }
        guard isMatch else { return nil }
        return (0..<count).map { offsets[2 * $0] < 0 ? nil : offsets[2 * $0]..<offsets[2 * $0 + 1] }
    }

    private func replaceAll(in text: UnsafeBufferPointer<UInt8>, template: ReplacementTemplate) -> String {
        var result: [UInt8] = []
        var copied = 0
        var position = 0
        while position <= text.count {
            let found = unsafe self.spans(
                text, from: position, anchor: WEIR_RE2_SEARCH, count: self.groupNames.count + 1)
            guard let spans = found, let whole = spans[0] else { break }
            unsafe result.append(contentsOf: text[copied..<whole.lowerBound])
            // An empty match right after another match is not replaced: `a*` on "baac" is XbXcX, not XbXXcX.
            if whole.upperBound > copied || whole.lowerBound == 0 {
                unsafe template.expand(into: &result, text: text, spans: spans, names: self.groupNames)
            }
            copied = whole.upperBound
            // By a whole character at least, so that an empty match does not find itself again.
            position = unsafe max(position + characterLength(text, at: position), copied)
        }
        unsafe result.append(contentsOf: text[copied...])
        return String(decoding: result, as: UTF8.self)
    }
}

extension Pattern: Hashable {
    /// Two patterns are equal when their texts are.
    package static func == (a: Pattern, b: Pattern) -> Bool { a.text == b.text }
    package func hash(into hasher: inout Hasher) { hasher.combine(self.text) }
}

/// What a pattern found.
package struct PatternMatch: Hashable, Sendable {
    package var whole: String
    /// The groups from the first on; nil for one that took no part in the match.
    package var groups: [String?]
    private let names: [String?]

    init(whole: String, groups: [String?], names: [String?]) {
        self.whole = whole
        self.groups = groups
        self.names = names
    }

    /// The named groups that took part, in the order in which they open in the pattern.
    package var named: [(name: String, value: String)] {
        zip(self.names, self.groups).compactMap { name, value in
            guard let name, let value else { return nil }
            return (name, value)
        }
    }
}

extension PatternError {
    fileprivate init(reason: String, fragment translated: String, in text: String) {
        let fragment = text.contains(translated) ? translated : untranslatingNamedGroups(translated)
        // RE2 appends the part to its reason.
        let suffix = ": " + translated
        let reason = reason.hasSuffix(suffix) ? String(reason.dropLast(suffix.count)) : reason
        let pieces = fragment.isEmpty ? [] : text.indices.filter { text[$0...].hasPrefix(fragment) }
        self.init(
            reason: reason, fragment: fragment,
            offset: pieces.count == 1 ? text.distance(from: text.startIndex, to: pieces[0]) : nil)
    }
}

private func firstRepeated(_ names: [String]) -> String? {
    var seen: Set<String> = []
    return names.first { !seen.insert($0).inserted }
}

private func string(_ bytes: [CChar]) -> String {
    String(decoding: bytes.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
}

func string(_ text: UnsafeBufferPointer<UInt8>, _ range: Range<Int>) -> String {
    unsafe String(decoding: text[range], as: UTF8.self)
}

/// Length of the UTF-8 character that begins at `position`; 1 at the end. The text comes from a `String`: it is valid.
private func characterLength(_ text: UnsafeBufferPointer<UInt8>, at position: Int) -> Int {
    guard position < text.count else { return 1 }
    return switch unsafe text[position] {
    case 0xF0...: 4
    case 0xE0...: 3
    case 0xC0...: 2
    default: 1
    }
}
