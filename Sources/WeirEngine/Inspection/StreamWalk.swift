import WeirBase
import WeirXDS

/// The names that one subscription has, shared by all streams that have it.
package final class SharedNames: Sendable {
    /// In no particular order.
    package let names: [String]
    /// Of all names together.
    package let bytes: Int

    init(_ names: [String]) {
        self.names = names
        self.bytes = names.reduce(0) { $0 + $1.utf8.count }
    }

    static let none = SharedNames([])
}

/// Which streams are looked for. What is nil does not matter.
package struct StreamFilter: Sendable {
    package var key: String?
    package var node: (@Sendable (NodeIdentity) -> Bool)?
    /// Streams that have the type, by its URL; then `state` is about it alone.
    package var typeURL: String?
    /// Streams of which some type is in the state.
    package var state: TypeStatus.State?

    package init() {}

    var isEmpty: Bool { self.key == nil && self.node == nil && self.typeURL == nil && self.state == nil }
}

/// A walk over a shard's streams in pieces, in the order of their slots, which they keep while they last: so a page can
/// begin where the one before ended. Confined to the shard's loop; what it found may go anywhere.
package final class StreamWalk {
    package private(set) var streams: [StreamStatus] = []
    /// How many streams the filter lets through, on whatever page.
    package private(set) var matched = 0
    /// The first matching slot that is not in `streams` though it comes after the start; nil if there is none.
    package private(set) var next: Int?

    private let filter: StreamFilter
    private let start: Int
    private let limit: Int
    /// What `streams` may still grow by, in bytes of what people are shown.
    private var budget: Int
    private var slot = 0
    private var names: [SubscriptionPlace: KnownNames] = [:]
    /// What was copied so far of a long list, and whose it is.
    private var partial: (place: SubscriptionPlace, known: KnownNames, names: [String])?

    private struct SubscriptionPlace: Hashable {
        var view: Int32
        var subscription: Int32
    }

    /// Good as long as the subscription says the same, and its names mean the same.
    private struct KnownNames {
        var content: Subscription.Content
        var epoch: Int
        var names: SharedNames
    }

    /// Names copied in one step.
    private static let namesPerStep = 4096
    /// What is shown of a stream, and of each type, besides names.
    private static let streamBytes = 256
    private static let typeBytes = 128

    /// - Parameters:
    ///   - start: the first slot to list.
    ///   - limit: streams to list at most.
    ///   - budget: bytes to list at most, roughly; one stream is always listed.
    package init(_ filter: StreamFilter, from start: Int, limit: Int, budget: Int) {
        self.filter = filter
        self.start = start
        self.limit = limit
        self.budget = budget
    }

    /// Looks at up to `slots` slots, fewer if there is much to copy. Returns whether there are more.
    package func advance(_ shard: Shard, slots: Int) -> Bool {
        let end = min(shard.links.count, self.slot + slots)
        while self.slot < end {
            guard let id = shard.streams.ids(from: self.slot, limit: 1).first, self.matches(id, shard) else {
                self.slot += 1
                continue
            }
            if self.slot >= self.start, self.next == nil {
                if self.streams.count >= self.limit || self.budget <= 0 {
                    self.next = self.slot
                } else {
                    guard let status = self.status(of: id, shard) else { return true }
                    self.streams.append(status)
                }
            }
            self.matched += 1
            self.slot += 1
        }
        return self.slot < shard.links.count
    }

    private func matches(_ id: SlotID, _ shard: Shard) -> Bool {
        guard id != shard.selfCheck else { return false }
        guard !self.filter.isEmpty else { return true }
        if let wanted = self.filter.node {
            guard let identity = shard.streams[id]?.identity, wanted(identity) else { return false }
        }
        guard self.filter.key != nil || self.filter.typeURL != nil || self.filter.state != nil else { return true }
        var index = shard.links[Int(id.index)].firstType
        if index == TypeStream.none, self.filter.typeURL == nil, self.filter.state == nil {
            return shard.key(ofGroup: shard.streams[id]?.group) == self.filter.key
        }
        while index != TypeStream.none {
            if self.matches(type: index, shard) { return true }
            index = shard.typeStreams[Int(index)].next
        }
        return false
    }

    private func matches(type index: Int32, _ shard: Shard) -> Bool {
        guard let view = shard.view(of: index) else { return false }
        if let key = self.filter.key, shard.groups[Int(view.group)]?.key != key { return false }
        if let url = self.filter.typeURL, view.type.typeURL != url { return false }
        return self.filter.state.map { shard.state(of: index) == $0 } ?? true
    }

    /// Nil while the names of a subscription are still being copied.
    private func status(of id: SlotID, _ shard: Shard) -> StreamStatus? {
        guard let stream = shard.streams[id] else { return nil }
        var types: [TypeStatus] = []
        var bytes = Self.streamBytes
        var index = shard.links[Int(id.index)].firstType
        while index != TypeStream.none {
            if let view = shard.view(of: index) {
                guard let names = self.names(of: index, view, shard) else { return nil }
                types.append(shard.typeStatus(index, view, names))
                bytes += names.bytes + 4 * names.names.count + Self.typeBytes
            }
            index = shard.typeStreams[Int(index)].next
        }
        self.budget -= bytes
        return shard.status(of: stream, slot: Int(id.index), types)
    }

    private func names(of index: Int32, _ view: TypeView, _ shard: Shard) -> SharedNames? {
        let record = shard.typeStreams[Int(index)]
        let content = shard.content(of: index, view)
        guard !content.names.isEmpty else { return SharedNames.none }
        let place = SubscriptionPlace(view: record.view, subscription: record.subscription)
        if let known = self.names[place], known.epoch == view.idEpoch, known.content == content { return known.names }
        var copied: [String] = []
        if let partial = self.partial, partial.place == place, partial.known.epoch == view.idEpoch,
            partial.known.content == content
        {
            copied = partial.names
        }
        self.partial = nil
        for name in content.names.dropFirst(copied.count).prefix(Self.namesPerStep) { copied.append(view[name].name) }
        let isWhole = copied.count >= content.names.count
        let known = KnownNames(
            content: content, epoch: view.idEpoch, names: isWhole ? SharedNames(copied) : SharedNames.none)
        if isWhole { self.names[place] = known } else { self.partial = (place, known, copied) }
        return isWhole ? known.names : nil
    }
}

extension Shard {
    fileprivate func key(ofGroup group: Int32?) -> String? {
        guard let group = group, group != TypeStream.none else { return nil }
        return self.groups[Int(group)]?.key
    }
}
