/// One request, complete with its body.
package struct HTTPRequest: Sendable {
    /// As sent: `GET`, `POST`, `HEAD`, ... A HEAD is answered like a GET; the body is then counted but not sent.
    package let method: String
    /// Percent-decoded, without the query.
    package let path: String
    /// As sent: where a part of the path may itself hold a `/`, which then stands there as `%2F`.
    package let rawPath: String
    /// Percent-decoded, in the order sent; a name without `=` has an empty value.
    package let query: [(name: String, value: String)]
    package let host: String?
    package let accept: String?
    package let acceptEncoding: String?
    package let ifNoneMatch: String?
    package let ifMatch: String?
    package let contentType: String?
    package let contentEncoding: String?
    package let authorization: String?
    /// `Origin`: from where the page came that a browser sends this for.
    package let origin: String?
    /// `Sec-Fetch-Site`: the same in a browser's words; see `isForeign`.
    package let fetchSite: String?
    /// The client's address and port; empty if unknown.
    package let peer: String
    /// At most `HTTPServerOptions.bodyBytesMax`.
    package let body: [UInt8]

    package init(
        method: String, path: String, rawPath: String? = nil, query: [(name: String, value: String)] = [],
        host: String? = nil,
        accept: String? = nil, acceptEncoding: String? = nil, ifNoneMatch: String? = nil, ifMatch: String? = nil,
        contentType: String? = nil, contentEncoding: String? = nil, authorization: String? = nil, origin: String? = nil,
        fetchSite: String? = nil, peer: String = "",
        body: [UInt8] = []
    ) {
        self.method = method
        self.path = path
        self.rawPath = rawPath ?? path
        self.query = query
        self.host = host
        self.accept = accept
        self.acceptEncoding = acceptEncoding
        self.ifNoneMatch = ifNoneMatch
        self.ifMatch = ifMatch
        self.contentType = contentType
        self.contentEncoding = contentEncoding
        self.authorization = authorization
        self.origin = origin
        self.fetchSite = fetchSite
        self.peer = peer
        self.body = body
    }

    /// The first value of `name` in the query.
    package func queryValue(_ name: String) -> String? { self.query.first { $0.name == name }?.value }
}
