import WeirBase
import WeirLoop
import WeirUpstream

/// What the workers know of the upstreams' servers, for the debug endpoint: kept up to date by them, so that looking
/// costs them nothing and works even when one of them is stuck.
final class UpstreamBoard: Sendable {
    struct Entry: Sendable {
        var servers: [ServerStatus] = []
        /// Open upstream streams.
        var streams = 0
    }

    private let entries = Locked<[String: [Int: Entry]]>([:])
    /// Since when the oldest data may be out of date, by upstream and contributor.
    private let oldest = Locked<[String: [Int: Instant]]>([:])

    /// `since` nil: all that the contributor holds of the upstream is up to date.
    func update(_ upstream: String, part: Int, oldest since: Instant?) {
        self.oldest.withLock { $0[upstream, default: [:]][part] = since }
    }

    /// How long the oldest data of an upstream has been out of touch with it; zero if all is up to date.
    func age(of upstream: String, at now: Instant) -> Nanoseconds {
        guard let since = self.oldest.withLock({ $0[upstream]?.values.min() }) else { return .zero }
        return max(.zero, now - since)
    }

    /// `part` tells contributors apart: a worker's index.
    func update(_ upstream: String, part: Int, _ entry: Entry) {
        self.entries.withLock { $0[upstream, default: [:]][part] = entry }
    }

    /// All contributors' entries of one upstream as one: a server counts as connected if any worker is.
    func summary(of upstream: String) -> Entry {
        let parts = self.entries.withLock { $0[upstream] ?? [:] }.sorted { $0.key < $1.key }.map(\.value)
        var result = Entry()
        for part in parts {
            result.streams += part.streams
            for (index, server) in part.servers.enumerated() {
                if index < result.servers.count {
                    result.servers[index].merge(server)
                } else {
                    result.servers.append(server)
                }
            }
        }
        return result
    }

    /// Why an upstream cannot be relied upon at the moment; nil if it can, or was not needed so far.
    func trouble(of upstream: String) -> String? {
        let servers = self.summary(of: upstream).servers
        guard !servers.contains(where: { $0.state == .connected && $0.lastError.isEmpty }) else { return nil }
        guard let failed = servers.first(where: { !$0.lastError.isEmpty }) else { return nil }
        return "\(failed.address): \(failed.lastError)"
    }
}

extension ServerStatus {
    /// Two views of one server as one.
    mutating func merge(_ other: ServerStatus) {
        let works = [self, other].contains { $0.state == .connected && $0.lastError.isEmpty }
        if other.state.rawValue > self.state.rawValue { self.state = other.state }
        if self.lastError.isEmpty { self.lastError = other.lastError }
        if works { self.lastError = "" }
        if let since = other.connectedSince {
            self.connectedSince = self.connectedSince.map { min($0, since) } ?? since
        }
    }
}
