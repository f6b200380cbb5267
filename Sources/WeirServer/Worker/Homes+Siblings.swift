import WeirBase
import WeirConfig
import WeirEngine
import WeirLoop
import WeirObserve
import WeirUpstream

/// A cold group is filled from a sibling relay while its upstream cannot be reached. What comes counts as stale until the
/// upstream has answered.
extension Homes {
    /// How long siblings are asked after somebody was last known to wait; shards say so every two seconds.
    private static let warmingTime = Nanoseconds.seconds(5)

    func warm(_ origin: HomeOrigin) {
        let cache = self.shared.configuration.cache
        origin.warmingUntil = self.loop.now + Self.warmingTime
        guard !cache.warmFrom.isEmpty, !origin.isWarming, origin.origin.openStreams == 0, !origin.origin.hasContent,
            case .grpc(let settings)? = self.shared.configuration.upstream(named: origin.upstream)?.origin
        else { return }
        if self.siblings[origin.upstream] == nil {
            var configuration = settings
            configuration.servers = cache.warmFrom
            configuration.tls = cache.warmTLS
            let client = self.makeClient("\(origin.upstream) (warm_from)", configuration)
            client.metadata = { [("weir-warm", Shard.digest(ofKey: $0.key))] }
            self.siblings[origin.upstream] = client
        }
        self.shared.logger.log(
            .info, "a cold group is filled from a sibling relay",
            [("key", origin.origin.key), ("upstream", origin.upstream)])
        origin.isWarming = true
        for number in origin.origin.wantedStreams { self.openAtSibling(number, origin) }
    }

    func openAtSibling(_ number: Int, _ origin: HomeOrigin) {
        self.siblings[origin.upstream]?.open(UpstreamStreamID(key: origin.origin.key, number: number))
    }

    func closeAtSibling(_ number: Int, _ origin: HomeOrigin) {
        origin.borrowed.remove(number)
        self.siblings[origin.upstream]?.close(UpstreamStreamID(key: origin.origin.key, number: number))
    }

    func siblingOpened(
        _ client: UpstreamClient, _ stream: UpstreamStreamID, _ server: String, _ origin: HomeOrigin
    ) {
        guard origin.isWarming else { return client.close(stream) }
        if let variant = origin.origin.variant, variant != client.variant { origin.origin.setVariant(client.variant) }
        origin.borrowed.insert(stream.number)
        origin.origin.streamOpened(stream.number, server: server, now: self.loop.now, isBorrowed: true)
        self.carryOut(origin.home)
    }

    /// The upstream is back: it is asked everything anew, and what it does not have goes.
    func endWarming(_ origin: HomeOrigin) {
        origin.isWarming = false
        for number in [0, 1] {
            if origin.borrowed.contains(number) {
                origin.origin.streamClosed(number, reason: "the upstream is back", now: self.loop.now)
            }
            self.closeAtSibling(number, origin)
        }
    }
}
