/// The tokens that let callers use the debug endpoint.
package enum AdminTokens {
    package struct Token: Hashable, Sendable {
        /// For the log.
        package var name: String
        private let bytes: [UInt8]

        init(name: String, bytes: [UInt8]) {
            self.name = name
            self.bytes = bytes
        }

        /// Takes a time that depends on the length of what was presented, and on nothing else.
        package func matches(_ presented: [UInt8]) -> Bool {
            var difference = self.bytes.count ^ presented.count
            for index in presented.indices {
                let own = self.bytes.isEmpty ? 0 : self.bytes[index % self.bytes.count]
                difference |= Int(own ^ presented[index])
            }
            return difference == 0 && !self.bytes.isEmpty
        }
    }

    /// One token on a line, before it, if wanted, a name and a space. Empty lines and lines with `#` in front are passed
    /// over.
    package static func read(_ bytes: [UInt8]) -> [Token] {
        let isSpace: (UInt8) -> Bool = { $0 == UInt8(ascii: " ") || $0 == UInt8(ascii: "\t") || $0 == 13 }
        return bytes.split(separator: UInt8(ascii: "\n")).compactMap { line in
            let words = line.split(whereSeparator: isSpace)
            guard let last = words.last, words[0].first != UInt8(ascii: "#"), words.count <= 2 else { return nil }
            let name = words.count == 2 ? String(decoding: words[0], as: UTF8.self) : "token"
            return Token(name: name, bytes: Array(last))
        }
    }
}
