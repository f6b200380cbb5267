import WeirBase
import WeirHash

/// The entries of one subscription's SotW responses that have been read before, with what they made.
///
/// A SotW server sends everything whenever anything changes. An entry that is byte for byte one that was read in full, and
/// whose resource is still what is held, needs no name made of it and no look at what is held by that name. It is found
/// by its digest, and compared, because servers send in any order. Noted when a response says the same for the second
/// time: the others cost nothing. Confined to its group's thread; no more entries than resources are held.
struct KnownEntries {
    private struct Entry {
        let resource: Resource
        /// The response that mentioned it last.
        var response: UInt64

        mutating func isNews(
            of response: UInt64, _ any: ByteRange, in message: borrowing Span<UInt8>
        ) -> Bool {
            guard self.response != response, self.resource.hasSameAny(any, in: message) else { return false }
            self.response = response
            return true
        }
    }

    /// By the digest of the `Any`.
    private var entries: [ContentHash: Entry] = [:]
    private var response: UInt64 = 0
    /// Entries of the present response that were known.
    private(set) var claimed = 0

    /// A response begins.
    mutating func begin() {
        self.response += 1
        self.claimed = 0
    }

    /// Whether an entry is known, and is mentioned for the first time in this response.
    mutating func claim(_ any: ByteRange, in message: borrowing Span<UInt8>) -> Bool {
        guard !self.entries.isEmpty else { return false }
        let digest = ContentHash(of: message.extracting(any.offset..<any.end))
        guard self.entries[digest]?.isNews(of: self.response, any, in: message) == true else { return false }
        self.claimed += 1
        return true
    }

    /// Whether the entry of what is held under a name was claimed in this response.
    func hasClaimed(_ held: Resource?) -> Bool {
        guard self.claimed > 0, let held, let entry = self.entries[held.hash] else { return false }
        return entry.resource === held && entry.response == self.response
    }

    /// Notes what is held under its own name, and came as a bare `Any`.
    mutating func note(_ resource: Resource) {
        self.entries[resource.hash] = Entry(resource: resource, response: 0)
    }

    /// It is not held any more.
    mutating func forget(_ resource: Resource) {
        guard !self.entries.isEmpty, self.entries[resource.hash]?.resource === resource else { return }
        self.entries[resource.hash] = nil
    }
}
