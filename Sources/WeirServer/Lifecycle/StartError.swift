/// Why the relay cannot start: what, where, and what would be right.
struct StartError: Error, Hashable, Sendable, CustomStringConvertible {
    let description: String

    init(_ description: String) { self.description = description }
}
