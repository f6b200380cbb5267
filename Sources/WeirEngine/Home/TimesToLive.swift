import WeirBase
import WeirXDS

/// Resources that live for a limited time (xDS protocol, "TTL").
///
/// The relay keeps none of them alive by itself: each word from the control plane begins the time anew, and when it is
/// over without one, the resource is gone, whether the control plane can be reached or not (TTL-03).
extension OriginGroup {
    /// Drops what has outlived its time.
    func expireTimesToLive(_ feed: Feed, _ type: OriginType, _ now: Instant, _ wall: WallTime) {
        let due = (type.expiries[feed.lane] ?? [:]).filter { $0.value <= now }.map(\.key).sorted()
        guard !due.isEmpty else { return }
        for name in due.compactMap({ type.resource($0, in: feed.lane)?.name }) {
            feed.newerVersions[name] = nil
            feed.aliases.forget(resource: name)
        }
        self.publish(
            due.map { self.absence(of: $0, feed) }, type, feed.lane, version: nil,
            now,
            wall)
    }

    func scheduleExpiries(_ type: OriginType) {
        for lane in type.expiries.values { if let first = lane.values.min() { self.schedule(first) } }
        if let first = type.gate.nextExpiry { self.schedule(first) }
    }

    /// What a control plane says by an entry without payload of a resource that is held: that it lives on (TTL-02). Nil if
    /// it does not speak of what is held. There are no heartbeats of virtual hosts, where an entry without payload means
    /// an alias that cannot be resolved (TTL-08).
    func heartbeat(
        _ received: ReceivedResource, _ held: Resource, _ feed: Feed, _ type: OriginType, _ now: Instant
    ) -> Resource? {
        guard type.type != .vhds, received.aliases.isEmpty, held.hasBody else { return nil }
        let known = feed.newerVersions[received.name] ?? held.version
        guard let version = received.version, !version.isEmpty else { return self.refreshed(held, received, now) }
        return version == known ? self.refreshed(held, received, now) : nil
    }

    /// What is held, with the time to live that was said now; nil if it has none, before and after.
    func refreshed(_ held: Resource, _ received: ReceivedResource, _ now: Instant) -> Resource? {
        guard received.ttl != nil || held.timeToLive != nil else { return nil }
        return Resource(held, timeToLive: received.ttl.map { TimeToLive(span: $0, from: now) })
    }
}
