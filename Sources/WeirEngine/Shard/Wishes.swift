import WeirBase
import WeirHash

/// Subscriptions by the bytes that asked for them: proxies of one group tend to ask for the same names in the same words,
/// and thousands of them come at once after a restart. Found here, a list of names need not be read again.
struct Wishes {
    struct Key: Hashable {
        /// Of the piece of the request in which the names stand.
        let digest: UInt64
        let isDelta: Bool
        let wrapsTimeToLive: Bool
    }

    private struct Entry {
        let bytes: [UInt8]
        let subscription: Int32
    }

    private var entries: [Key: Entry] = [:]
    private var keys: [Int32: Key] = [:]

    /// The subscription that these very bytes led to, if it is in use still.
    func subscription(_ key: Key, _ bytes: borrowing Span<UInt8>) -> Int32? {
        guard let entry = self.entries[key] else { return nil }
        // The digest is no defence against somebody who wants another's subscription to be taken for theirs.
        let whole = ByteRange(offset: 0, count: bytes.count)
        return bytes.equals(whole, entry.bytes.span) ? entry.subscription : nil
    }

    /// Remembers the bytes; each subscription keeps the first that were noted.
    mutating func note(_ key: Key, _ bytes: borrowing Span<UInt8>, for subscription: Int32) {
        guard self.keys[subscription] == nil, self.entries[key] == nil else { return }
        self.entries[key] = Entry(
            bytes: bytes.array(ByteRange(offset: 0, count: bytes.count)), subscription: subscription)
        self.keys[subscription] = key
    }

    /// The subscription is nobody's any more.
    mutating func forget(_ subscription: Int32) {
        if let key = self.keys.removeValue(forKey: subscription) { self.entries[key] = nil }
    }
}

extension Shard {
    /// Takes over the subscription of others who asked in the same words. Returns false where the list must be read.
    ///
    /// For the first request of a type only: a stream that was sent nothing is owed everything, so that nothing else need
    /// be noted.
    func subscribeAsOthers(
        _ index: Int32, _ names: [ByteRange], in bytes: borrowing Span<UInt8>, isDelta: Bool, _ view: TypeView
    ) -> Bool {
        guard names.count >= self.policy.sharedWishNamesMin,
            self.typeStreams[Int(index)].subscription == TypeStream.none,
            self.typeStreams[Int(index)].base == 0, let (key, range) = self.wish(index, names, in: bytes, isDelta),
            let subscription = view.wishes.subscription(key, bytes.extracting(range.offset..<range.end))
        else { return false }
        self.versions[Int(index)].acceptedGeneration = 0
        self.typeStreams[Int(index)].subscription = subscription
        view.retain(subscription)
        self.touchedViews.insert(self.typeStreams[Int(index)].view)
        return true
    }

    /// Notes what a type stream asked for, once another asks for the same: what only one wants is not worth the memory.
    func noteWish(
        _ index: Int32, _ names: [ByteRange], in bytes: borrowing Span<UInt8>, isDelta: Bool, _ view: TypeView
    ) {
        let subscription = self.typeStreams[Int(index)].subscription
        guard names.count >= self.policy.sharedWishNamesMin, subscription != TypeStream.none,
            view.subscriptions[Int(subscription)]?.streams ?? 0 > 1,
            let (key, range) = self.wish(index, names, in: bytes, isDelta)
        else { return }
        view.wishes.note(key, bytes.extracting(range.offset..<range.end), for: subscription)
    }

    private func wish(
        _ index: Int32, _ names: [ByteRange], in bytes: borrowing Span<UInt8>, _ isDelta: Bool
    ) -> (Wishes.Key, ByteRange)? {
        guard let first = names.first, let last = names.last else { return nil }
        // Between the names stand their tags and lengths, which the names alone would leave open.
        let range = ByteRange(offset: first.offset, count: last.end - first.offset)
        let wraps = !isDelta && self.streams[self.id(ofStream: index)]?.takesTimeToLive == true
        let digest = ContentHash(of: bytes.extracting(range.offset..<range.end)).low
        return (Wishes.Key(digest: digest, isDelta: isDelta, wrapsTimeToLive: wraps), range)
    }
}
