package import WeirBase

/// What a YAML file may ask of us; over it the file is an error, never a crash or a stall.
package struct YAMLLimits: Hashable, Sendable {
    /// Size of the file.
    package var bytes: Int
    /// How deep mappings and lists may nest.
    package var depth: Int
    /// Values in the tree, counting what each alias stands for.
    package var nodes: Int
    /// Bytes of the keys and scalars in the tree, counting what each alias stands for.
    package var textBytes: Int

    package init(
        bytes: Int = 64 << 20, depth: Int = 100, nodes: Int = 4_000_000, textBytes: Int = 256 << 20
    ) {
        self.bytes = bytes
        self.depth = depth
        self.nodes = nodes
        self.textBytes = textBytes
    }
}

/// Everything that is wrong with a YAML file, in file order.
package struct YAMLFailure: Error, Hashable, Sendable {
    package var diagnostics: [Diagnostic]
}

/// Reads one YAML document (JSON is one too) into a tree.
///
/// An empty file is null. Repeated keys, keys that are not scalars, a second document, unknown tags and anchors, and
/// whatever exceeds `limits` are errors. `file` is only used to name places. Safe on any thread.
package func parseYAML(
    _ bytes: [UInt8], file: String, limits: YAMLLimits = YAMLLimits()
) throws(YAMLFailure) -> YAMLNode {
    guard bytes.count <= limits.bytes else {
        let text = "the file has \(bytes.count) bytes; at most \(limits.bytes) are read"
        throw YAMLFailure(diagnostics: [
            Diagnostic(.error, at: SourcePlace(file: file, line: 1, column: 1), text)
        ])
    }
    var builder = TreeBuilder(file: file, limits: limits)
    do {
        try unsafe bytes.withUnsafeBufferPointer { (buffer) throws(SyntaxError) in
            guard let parser = unsafe EventParser(buffer) else {
                throw SyntaxError(problem: "out of memory", context: "", mark: nil, offset: 0)
            }
            while try builder.take(parser.next()) {}
        }
    } catch {
        builder.report(error, in: bytes)
    }
    return try builder.finish()
}

extension TreeBuilder {
    /// libyaml's reason in the operator's words; where only a byte offset is known, the place is counted from it.
    mutating func report(_ failure: SyntaxError, in bytes: [UInt8]) {
        let mark = failure.mark ?? TreeBuilder.mark(ofByte: failure.offset, in: bytes)
        if failure.problem.contains("cannot start any token"), TreeBuilder.byte(at: mark, in: bytes) == 0x09 {
            self.report("a tab cannot indent; use spaces", at: mark)
        } else {
            let context = failure.context.isEmpty ? "" : " \(failure.context)"
            self.report("not YAML: \(failure.problem)\(context)", at: mark)
        }
    }

    private static func mark(ofByte offset: Int, in bytes: [UInt8]) -> Mark {
        let before = bytes.prefix(offset)
        let line = before.lastIndex(of: 0x0A).map { $0 + 1 } ?? 0
        // Continuation bytes of UTF-8 do not start a character.
        return Mark(
            line: before.count { $0 == 0x0A },
            column: before[line...].count { $0 & 0xC0 != 0x80 })
    }

    private static func byte(at mark: Mark, in bytes: [UInt8]) -> UInt8? {
        var line = bytes[...]
        for _ in 0..<mark.line {
            guard let end = line.firstIndex(of: 0x0A) else { return nil }
            line = line[(end + 1)...]
        }
        return line.dropFirst(mark.column).first
    }
}
