import WeirBase
import WeirEngine
import WeirProtobuf
import WeirXDS

/// Writes resources as JSON: readable where the descriptors know the type, else as type and base64. Private keys and
/// the like never appear.
struct ResourceDumper: Sendable {
    let descriptors: DescriptorSet?

    func write(_ resource: Resource, of held: HeldResources, to list: inout JSONWriter) {
        list.object {
            $0.field("key", held.key)
            $0.field("type_url", held.type.typeURL)
            $0.field("name", resource.name)
            $0.field("version", resource.version)
            $0.field("updated", held.updated?.rfc3339)
            $0.field("resource", raw: self.body(resource, type: held.type))
        }
    }

    /// One JSON value.
    func body(_ resource: Resource, type: XDSType) -> [UInt8] {
        let encoded = resource.encoded
        let span = encoded.span
        guard resource.hasBody, let any = try? AnyEnvelope(decoding: resource.anyRange, in: span) else {
            return Array("null".utf8)
        }
        let typeURL = span.string(any.typeURL)
        let value = span.array(any.value)
        if let json = self.json(typeURL, value) { return json }
        var writer = JSONWriter()
        // Only the descriptors say where a message keeps its secrets. What they know and cannot read, and everything where
        // there are none, may hold one; a type they do not know is its owner's to judge.
        let isUnreadable = self.descriptors?.knows(typeURL: typeURL) ?? true
        let isSecret = isUnreadable || type == .sds || typeURL == XDSType.sds.typeURL
        writer.object {
            $0.field("@type", typeURL)
            $0.field("value", isSecret ? "[redacted]" : Base64.encode(value))
        }
        return writer.bytes
    }

    private func json(_ typeURL: String, _ value: [UInt8]) -> [UInt8]? {
        guard let descriptors = self.descriptors, descriptors.knows(typeURL: typeURL) else { return nil }
        guard let text = try? descriptors.json(typeURL: typeURL, bytes: value, redacting: true) else { return nil }
        // The type stands first in the object, as proto-JSON has it for an Any.
        var writer = JSONWriter()
        writer.value(typeURL)
        let inner = text.utf8.drop { $0 != UInt8(ascii: "{") }.dropFirst()
        let isEmpty = inner.first { $0 != UInt8(ascii: " ") && $0 != UInt8(ascii: "\n") } == UInt8(ascii: "}")
        return Array("{\"@type\":".utf8) + writer.bytes + (isEmpty ? [] : [UInt8(ascii: ",")]) + Array(inner)
    }
}

/// RFC 4648 base64 with padding.
enum Base64 {
    private static let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)

    static func encode(_ bytes: [UInt8]) -> String {
        var text: [UInt8] = []
        text.reserveCapacity((bytes.count + 2) / 3 * 4)
        var index = 0
        while index < bytes.count {
            let rest = bytes.count - index
            let triple =
                UInt32(bytes[index]) << 16 | (rest > 1 ? UInt32(bytes[index + 1]) << 8 : 0)
                | (rest > 2 ? UInt32(bytes[index + 2]) : 0)
            for position in 0..<4 {
                let isPadding = position > rest
                let digit = Int(triple >> UInt32(18 - 6 * position) & 0x3F)
                text.append(isPadding ? UInt8(ascii: "=") : Self.alphabet[digit])
            }
            index += 3
        }
        return String(decoding: text, as: UTF8.self)
    }
}
