/// Why weir refused or ended a stream or a connection: the `reason` label of `weir_downstream_rejected_total`.
///
/// The one list of these words; `docs/operations.md` says what each means.
package enum RejectionReason: String, Hashable, Sendable, CaseIterable {
    // By what a discovery request says.
    case malformed
    case node
    case noRule = "no_rule"
    case identity
    case typeURL = "type_url"
    case locators
    // By what the relay can give.
    case tooManyTypes = "too_many_types"
    case tooManyGroups = "too_many_groups"
    case tooManyConnections = "too_many_connections"
    case connectionRate = "connection_rate"
    case memory
    case tooManyQueries = "too_many_queries"
    case upstreamUnavailable = "upstream_unavailable"
    case unknownUpstream = "unknown_upstream"
    case notConfirmed = "not_confirmed"
    case draining
    // By what the client does on its connection.
    case unknownService = "unknown_service"
    case notAllowed = "not_allowed"
    case messageTooLarge = "message_too_large"
    case brokenStream = "broken_stream"
    case firstRequestTimeout = "first_request_timeout"
    case slowConsumer = "slow_consumer"
    case stalledReader = "stalled_reader"
    case handshake
    case badHeaders = "bad_headers"
    case brokenConnection = "broken_connection"
}
