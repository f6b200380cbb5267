package import WeirBase

/// One resource read from a file.
package struct LoadedResource: Hashable, Sendable {
    package var typeURL: String
    package var name: String
    /// The content of its `google.protobuf.Any`.
    package var any: [UInt8]
}

/// What a path holds: everything, or nothing and why.
package enum FileLoad: Sendable {
    case loaded([LoadedResource])
    case failed([Diagnostic])
}
