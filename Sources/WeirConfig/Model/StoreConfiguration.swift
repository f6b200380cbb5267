package import WeirBase

/// `cache.store`: the last good state on disk.
package struct StoreConfiguration: Hashable, Sendable {
    /// The folder.
    package var path: String
    /// Over it, groups that are not in use give way to those that are.
    package var bytesMax = 1 << 30
    /// What nobody has used for so long is removed; zero: never.
    package var ageMax = Nanoseconds.seconds(30 * 86_400)
    /// Whether secrets (SDS) are stored too, encrypted.
    package var secrets = false
    /// The file of the key that everything is encrypted with; nil: nothing is.
    package var encryptionKey: String?

    package init(path: String) { self.path = path }
}

/// The 32 bytes of a key file: raw, as 64 hexadecimal digits, or in base64. Nil if it is none of these.
package func encryptionKey(in file: [UInt8]) -> [UInt8]? {
    let bytes = 32
    if file.count == bytes { return file }
    let text = file.filter { !" \t\r\n".utf8.contains($0) }
    if text.count == 2 * bytes { return hexadecimal(text) }
    return text.count == 44 && text.last == UInt8(ascii: "=") ? base64(text.dropLast()) : nil
}

private func hexadecimal(_ text: [UInt8]) -> [UInt8]? {
    let digits = text.compactMap { Character(UnicodeScalar($0)).hexDigitValue }
    guard digits.count == text.count else { return nil }
    return stride(from: 0, to: digits.count, by: 2).map { UInt8(digits[$0] << 4 | digits[$0 + 1]) }
}

private func base64(_ text: ArraySlice<UInt8>) -> [UInt8]? {
    let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
    var result: [UInt8] = []
    var held: UInt32 = 0
    var bits = 0
    for byte in text {
        guard let digit = alphabet.firstIndex(of: byte) else { return nil }
        held = held << 6 | UInt32(digit)
        bits += 6
        guard bits >= 8 else { continue }
        bits -= 8
        result.append(UInt8(truncatingIfNeeded: held >> UInt32(bits)))
    }
    return result.count == 32 ? result : nil
}
