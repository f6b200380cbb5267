import WeirConfig
package import WeirRules
package import WeirXDS

/// What a program that has a relay within itself decides by code, where a configuration file has rules and a log.
package struct Embedding: Sendable {
    /// What a client's first request makes of it.
    package enum Placement: Sendable {
        case key(String)
        /// The stream ends INVALID_ARGUMENT with this text.
        case refused(String)
    }

    /// A client rejected a response.
    package struct Nack: Sendable {
        package var nodeID: String
        package var key: String
        package var type: XDSType
        package var version: String
        package var detail: ErrorDetail
    }

    /// Gives each client its key, in place of the rules; nil: the rules do. Called by workers.
    package var key: (@Sendable (RuleRequest) -> Placement)?
    /// Told of rejections; called by workers, between pushes.
    package var onNack: (@Sendable (Nack) -> Void)?
    /// Whether there is a debug endpoint.
    package var hasAdmin = true
    /// Whether anything is logged.
    package var isSilent = false
    /// Where the descriptors of all xDS messages are; nil: where a relay looks for them.
    package var descriptors: String?

    package init() {}

    /// What the program makes of a request, at the one upstream there is; nil: it leaves that to the rules.
    func outcome(of request: RuleRequest, _ configuration: RelayConfiguration) -> RuleOutcome? {
        guard let key = self.key, let upstream = configuration.upstreams.first else { return nil }
        switch key(request) {
        case .key(let key): return .matched(RuleMatch(key: key, rule: "program", upstream: upstream.name))
        case .refused(let text): return .failure(text)
        }
    }
}
