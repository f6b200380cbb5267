import CWeirProtobuf

/// Why a message cannot be turned into JSON or back: libprotobuf's own words.
package struct ProtobufError: Error, Hashable, Sendable, CustomStringConvertible {
    package let description: String

    package init(_ description: String) { self.description = description }
}

/// The message types of the xDS API, known by their descriptors: JSON views of resources, and resources from JSON.
///
/// Thread safe: nothing changes after `init`.
@safe package final class DescriptorSet: Sendable {
    /// libprotobuf's descriptor pools may be read by any number of threads once they are built; freed in `deinit`.
    private nonisolated(unsafe) let raw: OpaquePointer

    /// - Parameter bytes: a `google.protobuf.FileDescriptorSet` whose files stand in the order of their dependencies.
    package init(bytes: [UInt8]) throws(ProtobufError) {
        var error: UnsafeMutablePointer<CChar>?
        let raw = unsafe weir_pb_descriptors_load(bytes, bytes.count, &error)
        guard let raw = unsafe raw else { throw unsafe Self.take(error) }
        unsafe self.raw = raw
    }

    deinit { unsafe weir_pb_descriptors_free(self.raw) }

    /// Whether the type of a URL (`type.googleapis.com/NAME`) is known.
    package func knows(typeURL: String) -> Bool {
        unsafe Self.name(of: typeURL).withCString { unsafe weir_pb_knows(self.raw, $0) != 0 }
    }

    /// The encoding of a message written in proto-JSON. Deterministic.
    package func encode(json: String, typeURL: String) throws(ProtobufError) -> [UInt8] {
        try self.check(typeURL)
        var bytes: UnsafeMutablePointer<UInt8>?
        var count = 0
        var error: UnsafeMutablePointer<CChar>?
        let isDone = unsafe Self.name(of: typeURL).withCString { name in
            unsafe weir_pb_encode(self.raw, name, json, json.utf8.count, &bytes, &count, &error)
        }
        guard isDone != 0, let bytes = unsafe bytes else { throw unsafe Self.take(error) }
        defer { unsafe weir_pb_free(bytes) }
        return unsafe Array(UnsafeBufferPointer(start: bytes, count: count))
    }

    /// A message as proto-JSON with the field names of its definition.
    ///
    /// - Parameter redacting: whether fields that the API marks as sensitive (private keys, passwords, ...) are replaced.
    package func json(typeURL: String, bytes: [UInt8], redacting: Bool) throws(ProtobufError) -> String {
        try self.check(typeURL)
        var text: UnsafeMutablePointer<CChar>?
        var count = 0
        var error: UnsafeMutablePointer<CChar>?
        let isDone = unsafe Self.name(of: typeURL).withCString { name in
            unsafe weir_pb_json(self.raw, name, bytes, bytes.count, redacting ? 1 : 0, &text, &count, &error)
        }
        guard isDone != 0, let text = unsafe text else { throw unsafe Self.take(error) }
        defer { unsafe weir_pb_free(text) }
        return unsafe String(
            decoding: UnsafeRawBufferPointer(start: text, count: count), as: UTF8.self)
    }

    /// The encoding of a message with what the API marks as sensitive replaced, as `json` does it. Fields that the
    /// descriptors do not know are left out.
    package func redacted(typeURL: String, bytes: [UInt8]) throws(ProtobufError) -> [UInt8] {
        try self.check(typeURL)
        var redacted: UnsafeMutablePointer<UInt8>?
        var count = 0
        var error: UnsafeMutablePointer<CChar>?
        let isDone = unsafe Self.name(of: typeURL).withCString { name in
            unsafe weir_pb_redact(self.raw, name, bytes, bytes.count, &redacted, &count, &error)
        }
        guard isDone != 0, let redacted = unsafe redacted else { throw unsafe Self.take(error) }
        defer { unsafe weir_pb_free(redacted) }
        return unsafe Array(UnsafeBufferPointer(start: redacted, count: count))
    }

    /// Throws unless the bytes are the encoding of a message of the type.
    package func check(typeURL: String, bytes: [UInt8]) throws(ProtobufError) {
        try self.check(typeURL)
        var error: UnsafeMutablePointer<CChar>?
        let isGood = unsafe Self.name(of: typeURL).withCString { name in
            unsafe weir_pb_check(self.raw, name, bytes, bytes.count, &error)
        }
        guard isGood != 0 else { throw unsafe Self.take(error) }
    }

    /// What stands in the place of what is sensitive.
    private static let mark = Array("[redacted]".utf8)

    /// Whether a sensitive field of a message holds the very mark that redaction puts there: somebody gives back what he was
    /// shown. The mark in other fields is nobody's business.
    package func holdsRedacted(typeURL: String, bytes: [UInt8]) -> Bool {
        let all = Self.marks(in: bytes)
        guard !all.isEmpty else { return false }
        // With other letters, of the same length, in the places of the mark.
        var changed = bytes
        for start in all { changed[start + 1] = UInt8(ascii: "R") }
        guard let redacted = try? self.redacted(typeURL: typeURL, bytes: bytes),
            let redactedChanged = try? self.redacted(typeURL: typeURL, bytes: changed)
        else { return false }
        let elsewhere = Self.marks(in: redacted).count - Self.marks(in: redactedChanged).count
        return all.count > elsewhere
    }

    private static func marks(in bytes: [UInt8]) -> [Int] {
        var found: [Int] = []
        var start = 0
        while start + self.mark.count <= bytes.count {
            let isHere = bytes[start] == self.mark[0] && bytes[start..<start + self.mark.count].elementsEqual(self.mark)
            if isHere { found.append(start) }
            start += isHere ? self.mark.count : 1
        }
        return found
    }

    private func check(_ typeURL: String) throws(ProtobufError) {
        guard self.knows(typeURL: typeURL) else {
            throw ProtobufError("unknown message type \(Self.name(of: typeURL)): it is not in the descriptor set")
        }
    }

    private static func name(of typeURL: String) -> String {
        typeURL.lastIndex(of: "/").map { String(typeURL[typeURL.index(after: $0)...]) } ?? typeURL
    }

    /// Takes over an error text.
    private static func take(_ error: UnsafeMutablePointer<CChar>?) -> ProtobufError {
        guard let error = unsafe error else { return ProtobufError("unknown error") }
        defer { unsafe weir_pb_free(error) }
        return ProtobufError(unsafe String(cString: error))
    }
}
