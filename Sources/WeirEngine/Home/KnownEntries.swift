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
        /// Nil where the place is free.
        var resource: Resource?
        /// The response that mentioned it last.
        var response: UInt64

        mutating func isNews(
            of response: UInt64, _ any: ByteRange, in message: borrowing Span<UInt8>
        ) -> Bool {
            guard self.response != response, self.resource?.hasSameAny(any, in: message) == true else { return false }
            self.response = response
            return true
        }
    }

    /// Places in `entries` by the digest of the `Any`. Apart, because to change a value in a dictionary allocates.
    private var places: [ContentHash: Int] = [:]
    private var entries: ContiguousArray<Entry> = []
    private var free: [Int] = []
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
        guard !self.places.isEmpty else { return false }
        let digest = ContentHash(of: message.extracting(any.offset..<any.end))
        guard let place = self.places[digest], self.entries[place].isNews(of: self.response, any, in: message) else {
            return false
        }
        self.claimed += 1
        return true
    }

    /// Whether the entry of what is held under a name was claimed in this response.
    func hasClaimed(_ held: Resource?) -> Bool {
        guard self.claimed > 0, let held, let place = self.places[held.hash] else { return false }
        return self.entries[place].resource === held && self.entries[place].response == self.response
    }

    /// Notes what is held under its own name, and came as a bare `Any`.
    mutating func note(_ resource: Resource) {
        let entry = Entry(resource: resource, response: 0)
        if let place = self.places[resource.hash] ?? self.free.popLast() {
            self.entries[place] = entry
            self.places[resource.hash] = place
        } else {
            self.places[resource.hash] = self.entries.count
            self.entries.append(entry)
        }
    }

    /// It is not held any more.
    mutating func forget(_ resource: Resource) {
        guard !self.places.isEmpty, let place = self.places[resource.hash], self.entries[place].resource === resource
        else { return }
        self.places[resource.hash] = nil
        self.entries[place].resource = nil
        self.free.append(place)
    }
}
