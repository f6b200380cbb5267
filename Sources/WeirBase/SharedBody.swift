/// Immutable bytes that many streams send: one encoding for all of them, never copied, freed with the last reference.
package final class SharedBody: Sendable {
    package let bytes: [UInt8]

    package init(_ bytes: [UInt8]) { self.bytes = bytes }

    package var count: Int { self.bytes.count }
}
