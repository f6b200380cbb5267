/// Writes `(?<name>` as `(?P<name>`, the only form that every RE2 knows; text in classes, escapes and `\Q…\E` stays.
func translatingNamedGroups(_ pattern: String) -> String {
    let bytes = Array(pattern.utf8)
    var result: [UInt8] = []
    var i = 0
    while i < bytes.count {
        let end: Int
        switch bytes[i] {
        case UInt8(ascii: "\\"): end = endOfEscape(bytes, i)
        case UInt8(ascii: "["): end = endOfClass(bytes, i)
        case UInt8(ascii: "(") where opensNamedGroup(bytes, i):
            result.append(contentsOf: "(?P<".utf8)
            i += 3
            continue
        default: end = i + 1
        }
        result.append(contentsOf: bytes[i..<end])
        i = end
    }
    return String(decoding: result, as: UTF8.self)
}

/// The reverse, for a piece that RE2 quotes in a message.
func untranslatingNamedGroups(_ fragment: String) -> String {
    fragment.replacing("(?P<", with: "(?<")
}

/// `(?<` that is no look-behind (`(?<=`, `(?<!`), which RE2 rejects by itself.
private func opensNamedGroup(_ bytes: [UInt8], _ start: Int) -> Bool {
    guard bytes[start...].starts(with: "(?<".utf8), start + 3 < bytes.count else { return false }
    return bytes[start + 3] != UInt8(ascii: "=") && bytes[start + 3] != UInt8(ascii: "!")
}

private func endOfEscape(_ bytes: [UInt8], _ start: Int) -> Int {
    guard start + 1 < bytes.count else { return bytes.count }
    guard bytes[start + 1] == UInt8(ascii: "Q") else { return start + 2 }
    var i = start + 2
    while i < bytes.count, !bytes[i...].starts(with: "\\E".utf8) { i += 1 }
    return min(i + 2, bytes.count)
}

/// The index after the `]` that closes the class; a `]` right after `[` or `[^` is a member.
private func endOfClass(_ bytes: [UInt8], _ start: Int) -> Int {
    var i = start + 1
    if i < bytes.count, bytes[i] == UInt8(ascii: "^") { i += 1 }
    if i < bytes.count, bytes[i] == UInt8(ascii: "]") { i += 1 }
    while i < bytes.count, bytes[i] != UInt8(ascii: "]") {
        if bytes[i] == UInt8(ascii: "\\") {
            i += 2
        } else if bytes[i...].starts(with: "[:".utf8), let close = endOfNamedClass(bytes, i + 2) {
            i = close
        } else {
            i += 1
        }
    }
    return min(i + 1, bytes.count)
}

/// The index after the `:]` of `[:alpha:]` and its like.
private func endOfNamedClass(_ bytes: [UInt8], _ start: Int) -> Int? {
    var i = start
    while i < bytes.count, bytes[i] == UInt8(ascii: "^") || bytes[i].isLowercaseLetter { i += 1 }
    return bytes[i...].starts(with: ":]".utf8) ? i + 2 : nil
}

extension UInt8 {
    fileprivate var isLowercaseLetter: Bool { self >= UInt8(ascii: "a") && self <= UInt8(ascii: "z") }
}
