/// Immutable bytes that many streams send: encoded once, referenced by each, never copied.
///
/// A gRPC body begins with its five-byte prefix, whose length covers the body and the private tail that each stream
/// sends after it (see `MessageTail` in WeirHTTP2). A class, so that one stream costs one retain.
package final class SharedBody: Sendable {
    package let bytes: [UInt8]

    package init(_ bytes: [UInt8]) { self.bytes = bytes }

    package var count: Int { self.bytes.count }
}
