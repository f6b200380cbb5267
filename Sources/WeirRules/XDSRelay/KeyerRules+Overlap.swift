package import WeirBase
import WeirRegex

extension KeyerRules {
    /// Warnings for pairs of rules in one fragment that one request may match both: each then adds its piece, where the
    /// Go program's documentation promised the first only. Pairs that provably exclude each other are left out.
    package func overlapWarnings() -> [Diagnostic] {
        var warnings: [Diagnostic] = []
        for (i, fragment) in self.fragments.enumerated() {
            for (k, later) in fragment.rules.enumerated() {
                var proof = Proof()
                guard let j = fragment.rules[..<k].firstIndex(where: { !proof.excludes($0.match, later.match) }) else {
                    continue
                }
                warnings.append(
                    Diagnostic(
                        .warning, at: later.place,
                        "fragments[\(i)].rules[\(k)] and rules[\(j)] (line \(fragment.rules[j].place.line)) can match "
                            + "the same request; then both add their piece to the key"))
            }
        }
        return warnings
    }
}

/// Looks for a proof about two predicates, for a bounded number of steps: nested predicates have more pairs of parts
/// than it is worth to look at. Out of steps, or in doubt, the answer is no.
private struct Proof {
    private var stepsLeft = 20_000

    private mutating func step() -> Bool {
        self.stepsLeft -= 1
        return self.stepsLeft > 0
    }

    /// Whether it is certain that no request matches both.
    mutating func excludes(_ a: KeyerMatch, _ b: KeyerMatch) -> Bool {
        guard self.step() else { return false }
        if Proof.matchesNothing(a) || Proof.matchesNothing(b) { return true }
        return self.partsExclude(a, b) || self.partsExclude(b, a) || Proof.leavesExclude(a, b)
    }

    private mutating func partsExclude(_ a: KeyerMatch, _ b: KeyerMatch) -> Bool {
        switch a {
        case .and(let parts):
            for part in parts where self.excludes(part, b) { return true }
            return false
        case .or(let parts):
            for part in parts where !self.excludes(part, b) { return false }
            return true
        case .not(let inner): return self.implies(b, inner)
        default: return false
        }
    }

    private static func matchesNothing(_ match: KeyerMatch) -> Bool {
        switch match {
        case .types(let types): types.isEmpty
        case .id(let match), .cluster(let match), .metadata(_, let match): match.matchesNothing
        case .locality(let region, let zone, let subZone):
            [region, zone, subZone].contains { $0?.matchesNothing == true }
        default: false
        }
    }

    private static func leavesExclude(_ a: KeyerMatch, _ b: KeyerMatch) -> Bool {
        switch (a, b) {
        case (.types(let a), .types(let b)): Set(a).isDisjoint(with: b)
        case (.id(let a), .id(let b)), (.cluster(let a), .cluster(let b)): a.excludes(b)
        case (.locality(let r1, let z1, let s1), .locality(let r2, let z2, let s2)):
            [(r1, r2), (z1, z2), (s1, s2)].contains { pair in
                guard let one = pair.0, let other = pair.1 else { return false }
                return one.excludes(other)
            }
        case (.metadata(let p, let a), .metadata(let q, let b)): p == q && a.excludes(b)
        case (.metadataBool(let p, let a), .metadataBool(let q, let b)): p == q && a != b
        default: false
        }
    }

    /// Whether it is certain that what matches `a` matches `b` too.
    private mutating func implies(_ a: KeyerMatch, _ b: KeyerMatch) -> Bool {
        guard self.step() else { return false }
        if b == .any || self.leavesImply(a, b) { return true }
        if case .or(let parts) = b {
            for part in parts where self.implies(a, part) { return true }
        }
        if case .and(let parts) = b, !self.someRefuted(parts, { $0.implies(a, $1) }) { return true }
        if case .or(let parts) = a { return !self.someRefuted(parts) { $0.implies($1, b) } }
        if case .and(let parts) = a {
            for part in parts where self.implies(part, b) { return true }
        }
        return false
    }

    private mutating func someRefuted(
        _ parts: [KeyerMatch], _ holds: (inout Proof, KeyerMatch) -> Bool
    ) -> Bool {
        for part in parts where !holds(&self, part) { return true }
        return false
    }

    private func leavesImply(_ a: KeyerMatch, _ b: KeyerMatch) -> Bool {
        switch (a, b) {
        case (.types(let a), .types(let b)): Set(a).isSubset(of: b)
        case (.id(let a), .id(let b)), (.cluster(let a), .cluster(let b)): a.implies(b)
        case (.metadata(let p, let a), .metadata(let q, let b)): p == q && a.implies(b)
        default: a == b
        }
    }
}

extension KeyerString {
    /// An empty text or pattern is one that was never set.
    var matchesNothing: Bool {
        switch self {
        case .exact(let text): text.isEmpty
        case .regex(let pattern): pattern.text.isEmpty
        }
    }

    fileprivate func excludes(_ other: KeyerString) -> Bool {
        switch (self, other) {
        case (.exact(let text), _): !other.matches(text)
        case (_, .exact(let text)): !self.matches(text)
        case (.regex, .regex): false
        }
    }

    fileprivate func implies(_ other: KeyerString) -> Bool {
        guard case .exact(let text) = self else { return self == other }
        return other.matches(text)
    }
}
