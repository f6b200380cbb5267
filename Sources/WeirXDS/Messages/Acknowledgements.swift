package import WeirBase

/// What a delta client says most of the time: that it accepts a response, and nothing else. A `DeltaDiscoveryRequest` of a
/// type URL and a nonce, read without looking for more.
package struct DeltaAcknowledgement: Sendable {
    package let typeURL: ByteRange
    package let responseNonce: ByteRange

    /// Nil: it says more, or in another form, and is to be read as a `DeltaDiscoveryRequest`.
    package init?(_ bytes: borrowing Span<UInt8>) {
        var typeURL = ByteRange.empty
        var nonce = ByteRange.empty
        var position = 0
        while position < bytes.count {
            guard bytes.count - position >= 2, bytes[position + 1] < 128 else { return nil }
            let range = ByteRange(offset: position + 2, count: Int(bytes[position + 1]))
            guard range.end <= bytes.count else { return nil }
            switch bytes[position] {
            case 2 << 3 | 2: typeURL = range
            case 6 << 3 | 2: nonce = range
            default: return nil
            }
            position = range.end
        }
        guard !nonce.isEmpty else { return nil }
        self.typeURL = typeURL
        self.responseNonce = nonce
    }
}

/// The same in SotW: a `DiscoveryRequest` that repeats the names that are subscribed to and says nothing else. The names are
/// not listed, only where they stand.
package struct SotWAcknowledgement: Sendable {
    package private(set) var versionInfo = ByteRange.empty
    package private(set) var typeURL = ByteRange.empty
    package private(set) var responseNonce = ByteRange.empty
    /// From the first byte of the first name to the last byte of the last one; nil without names.
    package private(set) var names: ByteRange?

    /// Nil: it says more, or in another form, and is to be read as a `DiscoveryRequest`.
    package init?(_ bytes: borrowing Span<UInt8>) {
        var position = 0
        var firstName = -1
        while position < bytes.count {
            guard bytes.count - position >= 2, bytes[position + 1] < 128 else { return nil }
            let range = ByteRange(offset: position + 2, count: Int(bytes[position + 1]))
            guard range.end <= bytes.count else { return nil }
            switch bytes[position] {
            case 3 << 3 | 2:
                if firstName < 0 { firstName = range.offset }
                self.names = ByteRange(offset: firstName, count: range.end - firstName)
            case 1 << 3 | 2: self.versionInfo = range
            case 4 << 3 | 2: self.typeURL = range
            case 5 << 3 | 2: self.responseNonce = range
            default: return nil
            }
            position = range.end
        }
        guard !self.responseNonce.isEmpty else { return nil }
    }
}
