import WeirBase
import WeirYAML

/// What the readers of one file share: where they put what is wrong.
final class ReadingContext {
    private(set) var diagnostics: [Diagnostic] = []
    /// Values about which enough has been said.
    private var isSettled: Set<SourcePlace> = []

    /// Values that came from the environment in whole or part: these have no type of their own.
    private var substituted: Set<SourcePlace> = []

    func report(_ severity: Diagnostic.Severity, at place: SourcePlace, _ path: String, _ message: String) {
        guard !self.isSettled.contains(place) else { return }
        self.diagnostics.append(Diagnostic(severity, at: place, path.isEmpty ? message : "\(path): \(message)"))
    }

    func report(_ more: [Diagnostic]) { self.diagnostics += more }

    /// Nothing more is said about the value at `place`.
    func settle(_ place: SourcePlace) { self.isSettled.insert(place) }

    func markSubstituted(_ place: SourcePlace) { self.substituted.insert(place) }

    func isSubstituted(_ place: SourcePlace) -> Bool { self.substituted.contains(place) }

    var hasErrors: Bool { self.diagnostics.contains { $0.severity == .error } }
}

extension [Diagnostic] {
    /// In the order of `file`; what stands in other files follows in theirs.
    func inOrder(of file: String) -> [Diagnostic] {
        self.enumerated().sorted { a, b in
            guard let x = a.element.place, let y = b.element.place else {
                return (a.element.place == nil ? 0 : 1, a.offset) < (b.element.place == nil ? 0 : 1, b.offset)
            }
            if (x.file == file) != (y.file == file) { return x.file == file }
            return x == y ? a.offset < b.offset : x < y
        }.map(\.element)
    }
}
