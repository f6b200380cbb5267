import WeirBase
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

extension ReferenceServer {
    /// A response of this control plane.
    func text(_ response: [UInt8]) -> String {
        let span = response.span
        guard self.variant == .delta, let message = try? DeltaDiscoveryResponse(decoding: span) else {
            guard let message = try? DiscoveryResponse(decoding: span) else { return "what nobody can read" }
            let type = XDSType.of(typeURL: span.string(message.typeURL)).label
            return "\(type) \(span.string(message.versionInfo)) with \(message.resources.count) resources"
        }
        let resources = message.resources.map { range in
            let envelope = try? ResourceEnvelope(decoding: range, in: span)
            return envelope.map { "\(span.string($0.name))@\(span.string($0.version))" } ?? "?"
        }
        let removed = message.removedResources.map { "-\(span.string($0))" }
        let errors = message.resourceErrors.isEmpty ? [] : ["\(message.resourceErrors.count) errors"]
        let type = XDSType.of(typeURL: span.string(message.typeURL)).label
        return "\(type) \((resources + removed + errors).joined(separator: " "))"
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
