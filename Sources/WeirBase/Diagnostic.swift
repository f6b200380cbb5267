/// A place in a file that a person wrote. Lines and columns count from one.
package struct SourcePlace: Hashable, Comparable, Sendable {
    package var file: String
    package var line: Int
    package var column: Int

    package init(file: String, line: Int, column: Int) {
        self.file = file
        self.line = line
        self.column = column
    }

    package static func < (a: SourcePlace, b: SourcePlace) -> Bool {
        (a.file, a.line, a.column) < (b.file, b.line, b.column)
    }
}

/// Something to tell the operator about a file: what is wrong, where, and what would be right.
package struct Diagnostic: Hashable, Sendable, CustomStringConvertible {
    package enum Severity: String, Sendable { case error, warning }

    package var severity: Severity
    package var place: SourcePlace?
    package var message: String

    package init(_ severity: Severity, at place: SourcePlace?, _ message: String) {
        self.severity = severity
        self.place = place
        self.message = message
    }

    /// `FILE:LINE:COL: error: message`, the form that editors and CI understand.
    package var description: String {
        guard let place = self.place else { return "\(self.severity.rawValue): \(self.message)" }
        return "\(place.file):\(place.line):\(place.column): \(self.severity.rawValue): \(self.message)"
    }
}

/// No name that is longer, in bytes, is taken for another one misspelt.
private let hintNameBytesMax = 200

/// The candidate that is closest to `name` by edit distance, if any is close enough to be what was meant.
package func nearestName(to name: String, among candidates: [String]) -> String? {
    guard name.utf8.count <= hintNameBytesMax else { return nil }
    let candidates = candidates.filter { $0.utf8.count <= hintNameBytesMax }
    let wanted = Array(name.lowercased().utf8)
    let scored = candidates.map { ($0, editDistance(wanted, Array($0.lowercased().utf8))) }
    guard let best = scored.min(by: { ($0.1, $0.0) < ($1.1, $1.0) }) else { return nil }
    return best.1 <= max(2, wanted.count / 3) ? best.0 : nil
}

/// Levenshtein's distance; quadratic, meant for names of configuration fields.
private func editDistance(_ a: [UInt8], _ b: [UInt8]) -> Int {
    var previous = Array(0...b.count)
    for (i, x) in a.enumerated() {
        var current = [i + 1]
        for (j, y) in b.enumerated() {
            current.append(min(previous[j + 1] + 1, current[j] + 1, previous[j] + (x == y ? 0 : 1)))
        }
        previous = current
    }
    return previous[b.count]
}
