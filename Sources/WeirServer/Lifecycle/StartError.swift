/// Why the relay cannot start: what, where, and what would be right.
package struct StartError: Error, Hashable, Sendable, CustomStringConvertible {
    package let description: String

    init(_ description: String) { self.description = description }
}
