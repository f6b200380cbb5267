/// Appends `text` with every byte that is not unreserved as `%XX`, so that it can never contain what separates the parts
/// of a key or a query. Source: RFC 3986, 2.1 and 2.3.
package func appendPercentEncoded(_ text: String, to result: inout String) {
    for byte in text.utf8 {
        if isUnreserved(byte) {
            result.unicodeScalars.append(Unicode.Scalar(byte))
        } else {
            let hex = String(byte, radix: 16, uppercase: true)
            result += byte < 16 ? "%0" + hex : "%" + hex
        }
    }
}

/// The same by itself.
package func percentEncoded(_ text: String) -> String {
    var result = ""
    appendPercentEncoded(text, to: &result)
    return result
}

/// Whether encoding leaves the byte as it is: ASCII letters, digits and `-._~`.
package func isUnreserved(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
        UInt8(ascii: "~"):
        true
    default: false
    }
}

/// The opposite; what is no encoding stays as it is.
package func percentDecoded(_ text: some StringProtocol) -> String {
    var bytes: [UInt8] = []
    var rest = Array(text.utf8)[...]
    while let byte = rest.popFirst() {
        let digits = rest.prefix(2).compactMap { Character(Unicode.Scalar($0)).hexDigitValue }
        if byte == UInt8(ascii: "%"), digits.count == 2 {
            bytes.append(UInt8(digits[0] << 4 | digits[1]))
            rest = rest.dropFirst(2)
        } else {
            bytes.append(byte)
        }
    }
    return String(decoding: bytes, as: UTF8.self)
}
