package import WeirBase

/// One HTTP request with everything that bounds it.
package struct HTTPClientRequest: Hashable, Sendable {
    package var method: String
    /// `http://` or `https://`, percent-encoded where it must be.
    package var url: String
    /// Path of a unix socket to speak over; the URL's host and port are then only names.
    package var unixSocket: String?
    package var headers: [HTTPClientHeader] = []
    /// Nil: none. An empty body is sent as one of zero bytes.
    package var body: [UInt8]?
    package var trust = HTTPClientTrust()
    package var connectTimeout: Nanoseconds = .seconds(5)
    /// For all of it, the answer's body included; nil: for ever.
    package var timeout: Nanoseconds? = .seconds(30)
    /// Of the answer, decompressed.
    package var bodyBytesMax = 64 << 20

    package init(method: String = "GET", url: String) {
        self.method = method
        self.url = url
    }
}

package struct HTTPClientHeader: Hashable, Sendable {
    package var name: String
    package var value: String

    package init(_ name: String, _ value: String) {
        self.name = name
        self.value = value
    }
}

/// Whom a client trusts, and who it is itself. PEM files; empty paths mean the system's authorities and no certificate.
package struct HTTPClientTrust: Hashable, Sendable {
    package var authorities = ""
    package var certificate = ""
    package var privateKey = ""

    package init(authorities: String = "", certificate: String = "", privateKey: String = "") {
        self.authorities = authorities
        self.certificate = certificate
        self.privateKey = privateKey
    }
}

package struct HTTPClientResponse: Hashable, Sendable {
    package var status: Int
    /// As the server sent it; empty if it sent none.
    package var contentType: String
    package var body: [UInt8]
}

/// Why there is no answer. The text is the reason in words; it does not name the address.
package enum HTTPClientFailure: Error, Hashable, Sendable {
    /// The request itself is of no use: its URL, or a file that it names.
    case unusable(String)
    /// No connection: the name has no address, or nobody listens there.
    case unreachable(String)
    /// The handshake failed.
    case untrusted(String)
    case timedOut
    /// The answer, or one line of it, is larger than this many bytes.
    case tooLarge(Int)
    /// The connection broke, or what came back is no HTTP.
    case broken(String)
}
