/// One request, complete with its body.
package struct HTTPRequest: Sendable {
    /// As sent: `GET`, `POST`, `HEAD`, ... A HEAD is answered like a GET; the body is then counted but not sent.
    package let method: String
    /// Percent-decoded, without the query.
    package let path: String
    /// Percent-decoded, in the order sent; a name without `=` has an empty value.
    package let query: [(name: String, value: String)]
    package let host: String?
    package let accept: String?
    package let acceptEncoding: String?
    package let ifNoneMatch: String?
    package let contentType: String?
    package let authorization: String?
    /// The client's address and port; empty if unknown.
    package let peer: String
    /// At most `HTTPServerLimits.bodyBytesMax`.
    package let body: [UInt8]

    package init(
        method: String, path: String, query: [(name: String, value: String)] = [], host: String? = nil,
        accept: String? = nil, acceptEncoding: String? = nil, ifNoneMatch: String? = nil, contentType: String? = nil,
        authorization: String? = nil, peer: String = "", body: [UInt8] = []
    ) {
        self.method = method
        self.path = path
        self.query = query
        self.host = host
        self.accept = accept
        self.acceptEncoding = acceptEncoding
        self.ifNoneMatch = ifNoneMatch
        self.contentType = contentType
        self.authorization = authorization
        self.peer = peer
        self.body = body
    }

    /// The first value of `name` in the query.
    package func queryValue(_ name: String) -> String? { self.query.first { $0.name == name }?.value }
}
