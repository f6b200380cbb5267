import WeirBase
import WeirXDS

/// What a delta client says it holds (`initial_resource_versions`), as versions by canonical names. An empty version stands
/// for what it may hold and is sent all the same.
struct HeldVersions {
    var versions: [String: String] { didSet { self.number = nil } }
    /// The same for clients that said the same, and for nobody else; nil where nobody is known to have said the same, or
    /// something was changed since.
    private(set) var number: UInt64?

    init(_ versions: [String: String] = [:], number: UInt64? = nil) {
        self.versions = versions
        self.number = number
    }
}

/// What clients said they hold, for a moment: thousands of them come back at once and hold the same, each in an order of
/// its own.
struct HeldMemo {
    struct Key: Hashable {
        /// A sum over the entries, by a hash whose key is this process's own, so that nobody can make two that are equal.
        let digest: UInt64
        let count: Int
    }

    private var entries: [Key: HeldVersions] = [:]
    private var lastNumber: UInt64 = 0
    private var size = 0

    /// Names of all lists that are kept; whoever comes with more is answered by itself.
    private static let sizeMax = 100_000

    subscript(key: Key) -> HeldVersions? { self.entries[key] }

    /// Remembers what a client said. Where names stand twice, the order counts, which the key does not know.
    mutating func note(_ versions: [String: String], _ key: Key) -> HeldVersions {
        guard versions.count == key.count, self.size + key.count <= Self.sizeMax else { return HeldVersions(versions) }
        self.size += key.count
        self.lastNumber += 1
        let held = HeldVersions(versions, number: self.lastNumber)
        self.entries[key] = held
        return held
    }

    mutating func forgetAll() {
        guard !self.entries.isEmpty else { return }
        self.entries = [:]
        self.size = 0
    }
}

extension HeldMemo.Key {
    init(_ entries: [DeltaDiscoveryRequest.InitialVersion], in bytes: borrowing Span<UInt8>) {
        var sum: UInt64 = 0
        for entry in entries {
            var hasher = Hasher()
            // The length tells where one ends and the other begins.
            hasher.combine(entry.name.count)
            bytes.hash(entry.name, into: &hasher)
            bytes.hash(entry.version, into: &hasher)
            sum &+= UInt64(bitPattern: Int64(hasher.finalize()))
        }
        self.init(digest: sum, count: entries.count)
    }
}

extension Span where Element == UInt8 {
    fileprivate func hash(_ range: ByteRange, into hasher: inout Hasher) {
        let part = self.extracting(range.offset..<range.end)
        unsafe part.withUnsafeBytes { bytes in unsafe hasher.combine(bytes: bytes) }
    }
}
