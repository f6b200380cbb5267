extension String {
    /// The text, or its first `bytes` bytes, cut between characters and marked.
    package func bounded(toBytes bytes: Int) -> String {
        guard self.utf8.count > bytes else { return self }
        var end = self.utf8.index(self.utf8.startIndex, offsetBy: bytes)
        while end.samePosition(in: self.unicodeScalars) == nil { end = self.utf8.index(before: end) }
        return String(self[..<end]) + "...(truncated)"
    }
}
