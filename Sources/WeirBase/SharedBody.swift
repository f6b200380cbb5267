/// Immutable bytes that many streams send: encoded once, referenced by each, never copied.
///
/// A gRPC body begins with its five-byte prefix, whose length covers the body and the private tail that each stream
/// sends after it (see `MessageTail` in WeirHTTP2). A class, so that one stream costs one retain.
public final class SharedBody: Sendable {
    public let bytes: [UInt8]

    @inlinable public init(_ bytes: [UInt8]) { self.bytes = bytes }

    @inlinable public var count: Int { self.bytes.count }
}
