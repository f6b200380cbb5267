/// Percent-encoding of `grpc-message` (gRPC `PROTOCOL-HTTP2.md`, "Status-Message"): printable ASCII except `%` stands
/// for itself, every other byte of the UTF-8 text is `%XX`.
package enum StatusMessageEncoding {
    /// Encoded bytes of at most `bytesMax`; a longer text is cut between characters.
    package static func encode(_ text: String, bytesMax: Int = 4096) -> [UInt8] {
        var encoded: [UInt8] = []
        encoded.reserveCapacity(min(text.utf8.count, bytesMax))
        for scalar in text.unicodeScalars {
            let before = encoded.count
            for byte in UTF8.encode(scalar) ?? UTF8.encodedReplacementCharacter { Self.append(byte, to: &encoded) }
            if encoded.count > bytesMax {
                encoded.removeLast(encoded.count - before)
                break
            }
        }
        return encoded
    }

    /// The text of encoded bytes. What is no valid escape stands for itself; bytes that are no UTF-8 become U+FFFD.
    package static func decode(_ encoded: [UInt8]) -> String {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(encoded.count)
        var index = 0
        while index < encoded.count {
            if encoded[index] == UInt8(ascii: "%"), index + 2 < encoded.count,
                let high = hexValue(encoded[index + 1]), let low = hexValue(encoded[index + 2])
            {
                bytes.append(high << 4 | low)
                index += 3
            } else {
                bytes.append(encoded[index])
                index += 1
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    private static func append(_ byte: UInt8, to encoded: inout [UInt8]) {
        if byte >= 0x20, byte <= 0x7E, byte != UInt8(ascii: "%") {
            encoded.append(byte)
        } else {
            encoded.append(UInt8(ascii: "%"))
            encoded.append(hexDigit(byte >> 4))
            encoded.append(hexDigit(byte & 15))
        }
    }
}

private func hexDigit(_ value: UInt8) -> UInt8 {
    value < 10 ? UInt8(ascii: "0") + value : UInt8(ascii: "A") + value - 10
}

private func hexValue(_ digit: UInt8) -> UInt8? {
    switch digit {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): digit - UInt8(ascii: "0")
    case UInt8(ascii: "a")...UInt8(ascii: "f"): digit - UInt8(ascii: "a") + 10
    case UInt8(ascii: "A")...UInt8(ascii: "F"): digit - UInt8(ascii: "A") + 10
    default: nil
    }
}
