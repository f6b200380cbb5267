/// Metrics of one family by a label whose values are known at start; any other value shares one metric.
struct LabelTable<Child: Sendable>: Sendable {
    static var otherLabel: String { "other" }

    private let children: [String: Child]
    private let other: Child

    /// - Parameter make: called once per value in order, then once for `other`; the flag says whether it is `other`.
    init(_ values: [String], _ make: (_ value: String, _ isOther: Bool) -> Child) {
        var children: [String: Child] = [:]
        for value in values where value != Self.otherLabel && children[value] == nil {
            children[value] = make(value, false)
        }
        self.children = children
        self.other = make(Self.otherLabel, true)
    }

    subscript(value: String) -> Child { self.children[value] ?? self.other }
}
