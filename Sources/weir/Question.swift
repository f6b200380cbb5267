import WeirBase
import WeirConfig
import WeirHTTPClient

/// How a relay's debug endpoint is reached, as the arguments say. What they leave out, the environment may say.
struct RelayAccess: Equatable {
    var url: String?
    var tokenFile: String?
    var trust = HTTPClientTrust()
    /// Of one request.
    var timeout: Nanoseconds = .seconds(30)

    init() {}

    init(_ options: CommandOptions) throws(UsageError) {
        self.url = options.text("--admin")
        self.tokenFile = options.text("--token-file")
        self.trust = HTTPClientTrust(
            authorities: options.text("--ca") ?? "", certificate: options.text("--certificate") ?? "",
            privateKey: options.text("--private-key") ?? "")
        if self.trust.certificate.isEmpty != self.trust.privateKey.isEmpty {
            throw options.error("--certificate and --private-key belong together: give both")
        }
        if let timeout = try options.duration("--timeout") { self.timeout = timeout }
    }
}

/// What a running relay is asked, or told to do.
struct Question: Equatable {
    var topic: Command.Topic
    var access = RelayAccess()
    var key: String?
    var node: String?
    /// A short name or a type URL; known to be one of both.
    var type: String?
    var name: String?
    var from: String?
    var to: String?
    var kinds: [String] = []
    var limit: Int?
    /// For events: how long to listen.
    var duration: Nanoseconds?
    var isFollowing = false
    var onlyUnsynced = false
    var isJSON = false

    init(_ topic: Command.Topic) { self.topic = topic }

    init(_ topic: Command.Topic, _ options: CommandOptions) throws(UsageError) {
        self.topic = topic
        self.access = try RelayAccess(options)
        self.key = options.text("--key")
        self.node = options.text("--node")
        self.type = options.text("--type")
        self.name = options.text("--name")
        self.from = options.text("--from")
        self.to = options.text("--to")
        self.kinds = options.list("--kind")
        self.limit = try options.count("--limit")
        self.duration = try options.duration("--for")
        self.isFollowing = options.has("--follow")
        self.onlyUnsynced = options.has("--unsynced")
        self.isJSON = options.has("--json")
        try self.check(options)
    }

    private func check(_ options: CommandOptions) throws(UsageError) {
        switch self.topic {
        case .diff, .hold, .release, .rollback:
            _ = try options.require("--key", "KEY")
            _ = try options.require("--type", "TYPE")
        case .refresh, .evict: _ = try options.require("--key", "KEY")
        default: break
        }
        if let type = self.type, typeURL(named: type) == nil {
            throw options.error("--type: \"\(type)\" is no type; \(typeNameHint(type))")
        }
        for kind in self.kinds where !eventKinds.contains(kind) {
            let hint = didYouMean(kind, eventKinds)
            throw options.error(
                "--kind: there are no events \"\(kind)\"\(hint.isEmpty ? "; known are \(eventKinds.joined(separator: ", "))" : hint)"
            )
        }
        if self.isFollowing, self.duration != nil {
            throw options.error("--follow and --for both say when to end: give one")
        }
    }
}

extension CommandOptions {
    fileprivate func duration(_ name: String) throws(UsageError) -> Nanoseconds? {
        guard let text = self[name] else { return nil }
        if let value = parsedDuration(text), value > .zero, value <= .seconds(1_000_000) { return value }
        throw self.error("\(name): \"\(text)\" is no time; expected one such as 500ms, 10s or 5m")
    }

    fileprivate func count(_ name: String) throws(UsageError) -> Int? {
        guard let text = self[name] else { return nil }
        if let value = Int(text), value > 0 { return value }
        throw self.error("\(name): \"\(text)\" is no number above 0")
    }
}
