import WeirXDS

@testable import WeirEngine

/// What workers and homes say to each other, as text for those who replay a seed.
extension RelayHarness.ShardMailContent {
    var text: String {
        switch self {
        case .update(let update): return update.text
        case .rollout(.count(let trial, let update)): return "count for trial \(trial): \(update.text)"
        case .rollout(.give(let trial, let update, let shares)):
            return "give \(shares) for trial \(trial): \(update.text)"
        }
    }
}

extension GroupCommand {
    var text: String {
        switch self {
        case .join: return "join"
        case .leave: return "leave"
        case .warm: return "warm"
        case .rollout(let report): return "trial \(report.trial): \(report.content)"
        case .interest(let change):
            let wildcard = change.wildcard.map { $0 ? ["+*"] : ["-*"] } ?? []
            let names =
                change.added.map { "+\($0)" } + change.removed.map { "-\($0)" } + change.renewed.map { "!\($0)" }
            return "\(XDSType.of(typeURL: change.typeURL).label) \((wildcard + names).joined(separator: " "))"
        }
    }
}

extension TypeUpdate {
    /// In braces what is of the wildcard: `a@1` is there, `-a` not, of `?a` nothing is known, `+a` has members; `~` for what
    /// lives on, `!` for an error.
    fileprivate var text: String {
        let label = XDSType.of(typeURL: self.typeURL).label
        let changes = self.changes.map { change -> String in
            let marks = (change.isRefresh ? "~" : "") + (change.error == nil ? "" : "!")
            let text = marks + Self.text(change.presence, change.name)
            return change.lane == .wildcard ? "{\(text)}" : text
        }
        let state = "\(label) \(self.generation)\(self.isFull ? " whole" : "")\(self.wildcardKnown ? " *" : "")"
        return "\(state) for \(self.audience): \(changes.joined(separator: " "))"
    }

    private static func text(_ presence: Presence, _ name: String) -> String {
        switch presence {
        case .present(let resource): "\(name)@\(resource.version)"
        case .absent: "-\(name)"
        case .unknown: "?\(name)"
        case .populated: "+\(name)"
        }
    }
}
