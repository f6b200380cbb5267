/// Why the server could not start.
package enum HTTPServerError: Error, Hashable, CustomStringConvertible {
    case malformedAddress(String)
    /// The operating system refused the address; `reason` is its word for it.
    case cannotListen(address: String, reason: String)
    /// The library was built without TLS, or does not take the certificate and key.
    case cannotUseTLS(address: String)
    /// libmicrohttpd refused to start, which it does without a reason: memory, threads or descriptors ran out.
    case cannotStart(address: String)

    package var description: String {
        switch self {
        case .malformedAddress(let address):
            "\"\(address)\" is not an address; write an IP address and a port, as in "
                + "127.0.0.1:9901 or [::1]:9901"
        case .cannotListen(let address, let reason):
            "cannot listen on \(address): \(reason)"
        case .cannotUseTLS(let address):
            "cannot serve TLS on \(address): the key must be the certificate's, both PEM and "
                + "unencrypted, and libmicrohttpd built with TLS"
        case .cannotStart(let address):
            "cannot serve on \(address): the HTTP library did not start; check memory, thread and "
                + "descriptor limits"
        }
    }
}
