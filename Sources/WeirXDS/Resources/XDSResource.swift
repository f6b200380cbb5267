public import WeirBase

/// One resource as a value: what a control plane hands out and what a client is given.
///
/// The payload is the encoded protobuf message and is passed on as it is; this package never decodes it.
public struct XDSResource: Hashable, Sendable {
    /// The type that is subscribed to.
    public var type: XDSType
    /// The name that clients ask for.
    public var name: String
    /// The version of this one resource, as delta clients see it; empty: one is made from the content, or, in SotW, there
    /// is none.
    public var version: String
    /// The encoded message: the `value` of the `google.protobuf.Any` that it travels in.
    public var value: [UInt8]
    /// The type URL of `value`. It is that of `type`, but for redirects of `xdstp:` names (``XDSType/redirectURL``).
    public var messageURL: String

    /// Makes a resource of an encoded message.
    ///
    /// - Parameters:
    ///   - type: what is subscribed to.
    ///   - name: not empty; for types that hold their own name the same as in the message.
    ///   - version: empty: one is made from the content.
    ///   - value: the message, encoded.
    public init(type: XDSType, name: String, version: String = "", value: [UInt8]) {
        self.type = type
        self.name = name
        self.version = version
        self.value = value
        self.messageURL = type.typeURL
    }

    /// Reads a resource out of the content of its `google.protobuf.Any` as it stands in `bytes`.
    public init(
        type: XDSType, name: String, version: String, any: ByteRange, in bytes: borrowing Span<UInt8>
    ) throws(WireError) {
        let envelope = try AnyEnvelope(decoding: any, in: bytes)
        self.init(type: type, name: name, version: version, value: bytes.array(envelope.value))
        self.messageURL = bytes.string(envelope.typeURL)
    }

    /// The content of the `google.protobuf.Any` that the resource travels in.
    public var encodedAny: [UInt8] {
        var writer = WireWriter(reserving: self.value.count + self.messageURL.utf8.count + 16)
        writer.string(1, self.messageURL)
        if !self.value.isEmpty { writer.message(2, self.value) }
        return writer.bytes
    }
}
