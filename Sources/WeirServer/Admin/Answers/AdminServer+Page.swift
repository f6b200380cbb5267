import WeirBase
import WeirHTTP1
import WeirPage

/// The page for people: files that hold nothing of this relay. What they show, their scripts ask the other paths for.
extension AdminServer {
    private static let folder = "/page/"

    /// The file of the page that lies at a path.
    static func pageFile(_ path: String) -> PageFile? {
        if path == "/" { return PageFile.document }
        return path.hasPrefix(Self.folder) ? PageFile.named(String(path.dropFirst(Self.folder.count))) : nil
    }

    /// Nothing comes from elsewhere, nothing in the document is run, and no text becomes markup; nobody frames it.
    private static let policy =
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
        + "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

    func page(_ answer: AdminAnswer, _ file: PageFile) {
        // Asked for anew at each visit, and sent only if another release has another one.
        let headers = [
            ("Cache-Control", "no-cache"), ("ETag", file.tag), ("X-Content-Type-Options", "nosniff"),
            ("X-Frame-Options", "DENY"), ("Referrer-Policy", "no-referrer"),
            ("Cross-Origin-Resource-Policy", "same-origin"), ("Content-Security-Policy", Self.policy),
        ]
        let isCurrent = Negotiation.matches(answer.request.ifNoneMatch, tag: file.tag)
        answer.responder.respond(
            status: isCurrent ? 304 : 200, contentType: file.contentType, headers: headers,
            body: isCurrent ? [] : file.bytes)
    }

    /// Why a request is not carried out, on whose behalf a browser asks; nil: it may be.
    ///
    /// Anybody's page can have a browser POST to 127.0.0.1, and by a name of its own even read the answers there.
    static func refusal(of request: HTTPRequest, isLocal: Bool) -> String? {
        if !["GET", "HEAD"].contains(request.method), request.isForeign {
            return "\(request.method) \(request.path) is not taken from the pages of another site"
        }
        if isLocal, !request.isNamedByAddress {
            return "\"\(request.host ?? "")\" is not a name of this endpoint, which serves this machine only: "
                + "use its address or localhost"
        }
        return nil
    }
}
