package import WeirBase

/// `tracing.otlp`: spans of pushes and first requests, sent to a collector.
package struct TracingConfiguration: Hashable, Sendable {
    /// `http://` or `https://`, with the collector's path for traces.
    package var endpoint: String
    /// The share of all traces that is kept, from 0 to 1.
    package var share = 1.0
    /// Sent with each request, such as a token.
    package var headers: [Header] = []
    /// Who may have signed the collector's certificate; empty: the system's authorities.
    package var authorities = ""
    /// `service.name` of the spans.
    package var serviceName = "weir"
    /// Of one export.
    package var timeout = Nanoseconds.seconds(10)

    package init(endpoint: String) { self.endpoint = endpoint }

    package struct Header: Hashable, Sendable {
        package var name: String
        package var value: String
    }
}
