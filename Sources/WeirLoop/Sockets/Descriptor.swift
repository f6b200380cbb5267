import Glibc

/// Owns an open file descriptor, and closes it. Cancel its watchers first.
package final class Descriptor: Sendable {
    package let rawValue: CInt

    /// Takes over `rawValue`.
    package init(_ rawValue: CInt) {
        precondition(rawValue >= 0, "not an open descriptor")
        self.rawValue = rawValue
    }

    deinit { _ = Glibc.close(self.rawValue) }
}
