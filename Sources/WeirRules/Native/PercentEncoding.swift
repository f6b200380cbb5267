/// Appends `value` with every byte that is not an ASCII letter, a digit or one of `-._~` as `%XX`, so that a value can
/// never contain what separates the parts of a key. Source: RFC 3986, 2.1 and 2.3.
func appendPercentEncoded(_ value: String, to text: inout String) {
    for byte in value.utf8 {
        if isUnreserved(byte) {
            text.unicodeScalars.append(Unicode.Scalar(byte))
        } else {
            let hex = String(byte, radix: 16, uppercase: true)
            text += byte < 16 ? "%0" + hex : "%" + hex
        }
    }
}

/// Whether encoding leaves the byte as it is.
func isUnreserved(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
        UInt8(ascii: "~"):
        true
    default: false
    }
}
