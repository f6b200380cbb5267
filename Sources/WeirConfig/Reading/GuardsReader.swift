import WeirBase
import WeirXDS
import WeirYAML

extension Field {
    func guards() -> GuardConfiguration? {
        let known = ["empty_push", "empty_push_min", "shrink_percent", "history", "rollout"]
        guard let section = self.section(known) else {
            return nil
        }
        var guards = GuardConfiguration()
        section.read("empty_push", into: &guards.emptyPush) { $0.choice(GuardConfiguration.EmptyPush.self) }
        section.read("empty_push_min", into: &guards.emptyPushMin) { $0.integer(1...1_000_000_000) }
        section.read("shrink_percent", into: &guards.shrinkPercent) { $0.integer(0...100) }
        section.read("history", into: &guards.history) { $0.integer(0...64) }
        section.read("rollout", into: &guards.rollout) { $0.rollout() }
        return guards
    }

    private func rollout() -> GuardConfiguration.Rollout? {
        guard let section = self.section(["first", "wait", "max_nack_percent", "types"]) else { return nil }
        var rollout = GuardConfiguration.Rollout()
        section.read("first", into: &rollout.first) { $0.share() }
        section.read("wait", into: &rollout.wait) { $0.duration(.timeout) }
        section.read("max_nack_percent", into: &rollout.nackPercentMax) { $0.integer(0...100) }
        section.read("types", into: &rollout.types) { $0.types() }
        return rollout
    }

    /// A number of streams, or a percentage of them.
    private func share() -> GuardConfiguration.Rollout.First? {
        guard case .string(let text) = self.node.scalar?.resolved, text.hasSuffix("%") else {
            return self.integer(1...1_000_000).map { .streams($0) }
        }
        if let share = Int(text.dropLast()), (1...100).contains(share) { return .percent(share) }
        self.error("\"\(text)\" is not between 1% and 100%")
        return nil
    }

    private func types() -> Set<XDSType>? {
        guard let fields = self.nonEmptyList() else { return nil }
        return Set(
            fields.compactMap { field -> XDSType? in
                guard let name = field.text() else { return nil }
                if let url = typeURL(named: name) { return XDSType.of(typeURL: url) }
                field.error("\"\(name)\" is no type; \(typeNameHint(name))")
                return nil
            })
    }
}
