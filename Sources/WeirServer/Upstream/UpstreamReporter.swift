import WeirBase
import WeirConfig
import WeirLoop
import WeirObserve
import WeirTLS
import WeirUpstream
import WeirXDS

/// Puts what one worker's upstream clients tell of themselves where the relay shows it. Confined to the worker's loop.
final class UpstreamReporter: UpstreamObserver {
    private let shared: RelayShared
    private let worker: Int

    init(_ shared: RelayShared, worker: Int) {
        self.shared = shared
        self.worker = worker
    }

    func note(_ level: LogLevel, _ message: String, _ fields: [(String, String)]) {
        self.shared.logger.log(level, message, fields)
    }

    func upstreamTriesAgain(_ upstream: String) { self.shared.metrics.reconnects(upstream: upstream).add(1) }

    func upstream(_ upstream: String, servers: [ServerStatus], streams: Int) {
        var entry = UpstreamBoard.Entry(servers: servers)
        entry.streams = streams
        self.shared.upstreams.update(upstream, part: self.worker, entry)
    }

    func upstreamLoaded(certificate file: String?, expiry: WallTime?) {
        self.shared.certificates.set(.upstream, file, expiry)
    }
}

extension GRPCOriginConfiguration {
    /// The same as the client takes it.
    var settings: UpstreamSettings {
        var settings = UpstreamSettings(
            variant: self.variant == .delta ? .delta : .sotw, servers: self.servers.map(\.endpoint))
        settings.tls = self.tls.map {
            TLSClientConfiguration(
                ca: $0.ca, certificateChain: $0.certificateChain, privateKey: $0.privateKey,
                serverName: $0.serverName)
        }
        settings.connectTimeout = self.connectTimeout
        settings.backoffInitial = self.backoffInitial
        settings.backoffMax = self.backoffMax
        settings.keepaliveInterval = self.keepalive.interval
        settings.keepaliveTimeout = self.keepalive.timeout
        return settings
    }
}

extension EndpointAddress {
    var endpoint: Endpoint {
        switch self {
        case .network(let host, let port): .tcp(host: host, port: port)
        case .unix(let path): .unix(path: path)
        }
    }
}
