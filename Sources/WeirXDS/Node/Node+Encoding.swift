import WeirBase

extension Node {
    /// The message of the fields, in the order of their numbers; maps sorted by name, so that equal nodes have equal
    /// bytes.
    func encoded() -> [UInt8] {
        var writer = WireWriter()
        writer.bytes = Node.identity(id: self.id, cluster: self.cluster)
        if self.hasMetadata { writer.message(3, Node.encoded(self.metadata)) }
        if !(self.region.isEmpty && self.zone.isEmpty && self.subZone.isEmpty) {
            var locality = WireWriter()
            locality.string(1, self.region)
            locality.string(2, self.zone)
            locality.string(3, self.subZone)
            writer.message(4, locality.bytes)
        }
        writer.string(6, self.userAgentName)
        writer.string(7, self.userAgentVersion)
        for feature in self.clientFeatures { writer.element(10, feature) }
        return writer.bytes
    }

    static func identity(id: String, cluster: String) -> [UInt8] {
        var writer = WireWriter()
        writer.string(1, id)
        writer.string(2, cluster)
        return writer.bytes
    }

    /// The bytes of every field but id and cluster. What was decoded once decodes again; bytes that do not are dropped.
    static func withoutIdentity(_ raw: [UInt8]) -> [UInt8] {
        let bytes = raw.span
        var writer = WireWriter(reserving: raw.count)
        var reader = WireReader(ByteRange(offset: 0, count: raw.count))
        while let field = try? reader.next(in: bytes) {
            if field.number > 2 { writer.append(field.range, of: bytes) }
        }
        return writer.bytes
    }

    /// The most bytes of a node that are kept for people.
    package static let summaryBytesMax = 16 << 10

    /// The bytes without the lists of extensions and listening addresses, which are long and say nothing about the client;
    /// without its metadata as well if that is longer than `summaryBytesMax`.
    package var summary: [UInt8] {
        let kept = Node.without([9, 11], self.raw)
        guard kept.count > Node.summaryBytesMax else { return kept }
        let bare = Node.without([3], kept)
        return bare.count > Node.summaryBytesMax ? Node.identity(id: self.id, cluster: self.cluster) : bare
    }

    /// Whether an encoded node says the same as another of which only the `summary` may be left, whatever the order of its
    /// fields. One that cannot be read is another.
    package static func isSame(_ raw: [UInt8], _ kept: [UInt8]) -> Bool {
        guard let node = try? Node(decoding: raw), let first = try? Node(decoding: kept) else { return false }
        if node.encoded() == first.encoded() { return true }
        guard let summary = try? Node(decoding: node.summary) else { return false }
        return summary.encoded() == first.encoded()
    }

    /// Whether the summary has all that rules look at.
    package var isSummaryWhole: Bool {
        self.raw.count <= Node.summaryBytesMax || Node.without([9, 11], self.raw).count <= Node.summaryBytesMax
    }

    private static func without(_ fields: Set<Int>, _ raw: [UInt8]) -> [UInt8] {
        let bytes = raw.span
        var writer = WireWriter(reserving: min(raw.count, Node.summaryBytesMax))
        var reader = WireReader(ByteRange(offset: 0, count: raw.count))
        while let field = try? reader.next(in: bytes) {
            if !fields.contains(field.number) { writer.append(field.range, of: bytes) }
        }
        return writer.bytes
    }

    private static func encoded(_ fields: [String: MetadataValue]) -> [UInt8] {
        var writer = WireWriter()
        for (name, value) in fields.sorted(by: { $0.key < $1.key }) {
            var entry = WireWriter()
            entry.element(1, name)
            entry.message(2, Node.encoded(value))
            writer.message(1, entry.bytes)
        }
        return writer.bytes
    }

    private static func encoded(_ value: MetadataValue) -> [UInt8] {
        var writer = WireWriter()
        switch value {
        case .null: writer.bytes = [1 << 3, 0]
        case .bool(let value): writer.bytes = [4 << 3, value ? 1 : 0]
        case .string(let text): writer.element(3, text)
        case .object(let fields): writer.message(5, Node.encoded(fields))
        case .number(let number):
            writer.bytes = [2 << 3 | 1]
            for shift in stride(from: UInt64(0), to: 64, by: 8) {
                writer.bytes.append(UInt8(truncatingIfNeeded: number.bitPattern >> shift))
            }
        case .list(let elements):
            var list = WireWriter()
            for element in elements { list.message(1, Node.encoded(element)) }
            writer.message(6, list.bytes)
        }
        return writer.bytes
    }
}
