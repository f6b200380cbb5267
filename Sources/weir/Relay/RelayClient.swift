import WeirBase
import WeirConfig
import WeirHTTPClient

/// Why a relay did not do what it was asked.
struct RelayFailure: Error, Equatable {
    var message: String
    var status = ExitStatus.failed
}

/// A list that a relay gave.
struct RelayList {
    var elements: [JSONValue]
    /// As JSON.
    var text: [UInt8]
    /// Workers that did not answer: what they know is not in it.
    var missing: [Int]
}

/// One parameter of a path.
typealias QueryItem = (name: String, value: String?)

/// The debug endpoint of one relay.
struct RelayClient {
    static let defaultURL = "http://127.0.0.1:9901"
    /// Of one answer. What is larger can be asked for in parts.
    private static let answerBytesMax = 512 << 20
    /// Pages of one answer.
    private static let pagesMax = 100_000

    /// As the user knows it.
    let address: String
    private let base: String
    private let unixSocket: String?
    private let token: String?
    private let access: RelayAccess
    private let client: HTTPClient

    init(_ access: RelayAccess, environment: [String: String]) throws(RelayFailure) {
        let named = access.url ?? environment["WEIR_ADMIN"].flatMap { $0.isEmpty ? nil : $0 } ?? Self.defaultURL
        (self.base, self.unixSocket) = try Self.target(named)
        self.address = self.unixSocket == nil ? self.base : named
        self.access = access
        let tokenFile = access.tokenFile ?? environment["WEIR_TOKEN_FILE"].flatMap { $0.isEmpty ? nil : $0 }
        self.token = try tokenFile.map { path throws(RelayFailure) in try Self.token(path) }
        guard let client = HTTPClient() else { throw RelayFailure(message: "there is no memory for a client") }
        self.client = client
    }

    private static func target(_ url: String) throws(RelayFailure) -> (base: String, unixSocket: String?) {
        if url.hasPrefix("unix:") {
            let path = url.dropFirst("unix:".count)
            let socket = path.hasPrefix("//") ? path.dropFirst(2) : path
            if socket.hasPrefix("/") { return ("http://localhost", String(socket)) }
        } else {
            var base = url.contains("://") ? url : "http://" + url
            while base.hasSuffix("/") { base.removeLast() }
            let scheme = base.prefix { $0 != ":" }.lowercased()
            let isClean = !base.unicodeScalars.contains { $0 == "?" || $0 == "#" || $0.value <= 0x20 }
            if ["http", "https"].contains(scheme), isClean, base.count > scheme.count + 3 { return (base, nil) }
        }
        throw RelayFailure(
            message: "\"\(url)\" is no debug endpoint; expected http://HOST:PORT, https://HOST:PORT, HOST:PORT or "
                + "unix:///PATH", status: ExitStatus.invalid)
    }

    /// The first token of a file as `admin.token_file` has it.
    private static func token(_ path: String) throws(RelayFailure) -> String {
        let bytes: [UInt8]
        do throws(FileError) {
            bytes = try readFile(path, bytesMax: 1 << 20)
        } catch {
            throw RelayFailure(message: "cannot read the token file \"\(path)\": \(error)", status: ExitStatus.invalid)
        }
        let lines = String(decoding: bytes, as: UTF8.self).split(whereSeparator: \.isNewline)
        let words = lines.filter { !$0.hasPrefix("#") }.compactMap { $0.split(whereSeparator: \.isWhitespace).last }
        if let token = words.first { return String(token) }
        throw RelayFailure(message: "there is no token in the file \"\(path)\"", status: ExitStatus.invalid)
    }

    // MARK: Requests

    /// The body of an answer. Statuses other than 200 and those of `accepted` are failures.
    func get(
        _ path: String, _ query: [QueryItem] = [], accepting accepted: Set<Int> = []
    ) throws(RelayFailure) -> [UInt8] {
        try self.answer(self.request("GET", path, query), accepted)
    }

    func post(_ path: String, _ query: [QueryItem]) throws(RelayFailure) -> [UInt8] {
        var request = self.request("POST", path, query)
        request.body = []
        return try self.answer(request, [])
    }

    func json(
        _ path: String, _ query: [QueryItem] = [], accepting accepted: Set<Int> = []
    ) throws(RelayFailure) -> JSONValue {
        try self.parsed(try self.get(path, query, accepting: accepted), path)
    }

    /// A list in pages, as one answer: as it came where it is one page.
    func list(
        _ path: String, _ field: String, _ query: [QueryItem], limit: Int? = nil
    ) throws(RelayFailure) -> RelayList {
        var elements: [JSONValue] = []
        var missing: Set<Int> = []
        var cursor: String?
        for page in 0..<Self.pagesMax {
            let rest = limit.map { String($0 - elements.count) }
            let bytes = try self.get(path, query + [("limit", rest), ("cursor", cursor)])
            let answer = try self.parsed(bytes, path)
            elements += answer[field]?.elements ?? []
            missing.formUnion((answer["missing_workers"]?.elements ?? []).compactMap(\.int))
            cursor = answer["next_cursor"]?.string
            let isEnough = limit.map { elements.count >= $0 } ?? false
            if cursor == nil || isEnough {
                let isWhole = page == 0 && limit.map { elements.count <= $0 } ?? true
                if let limit { elements = Array(elements.prefix(limit)) }
                return RelayList(
                    elements: elements, text: isWhole ? bytes : Self.text(field, elements), missing: missing.sorted())
            }
        }
        throw RelayFailure(message: "\(self.address)\(path) has no end: more than \(Self.pagesMax) pages")
    }

    private static func text(_ field: String, _ elements: [JSONValue]) -> [UInt8] {
        var json = JSONWriter()
        json.object { $0.array(field) { list in for element in elements { element.write(to: &list) } } }
        return json.bytes + [UInt8(ascii: "\n")]
    }

    /// Lines of an answer as they come; ends without a failure when the relay ends it, the time is over, or `onLine`
    /// says false.
    func stream(
        _ path: String, _ query: [QueryItem], for duration: Nanoseconds?, onLine: @escaping (String) -> Bool
    ) throws(RelayFailure) {
        var request = self.request("GET", path, query)
        request.timeout = duration
        request.headers.append(HTTPClientHeader("Accept", "text/event-stream"))
        do throws(HTTPClientFailure) {
            let answer = try self.client.stream(request, onLine: onLine)
            if answer.status != 200 { throw HTTPClientFailure.broken(self.refusal(answer, request)) }
        } catch {
            if error == .timedOut, duration != nil { return }
            throw self.failure(error, request)
        }
    }

    private func request(_ method: String, _ path: String, _ query: [QueryItem]) -> HTTPClientRequest {
        let items = query.compactMap { item in item.value.map { "\(item.name)=\(percentEncoded($0))" } }
        let suffix = items.isEmpty ? "" : "?" + items.joined(separator: "&")
        var request = HTTPClientRequest(method: method, url: self.base + path + suffix)
        request.unixSocket = self.unixSocket
        request.trust = self.access.trust
        request.timeout = self.access.timeout
        request.bodyBytesMax = Self.answerBytesMax
        if let token = self.token { request.headers.append(HTTPClientHeader("Authorization", "Bearer \(token)")) }
        return request
    }

    private func answer(_ request: HTTPClientRequest, _ accepted: Set<Int>) throws(RelayFailure) -> [UInt8] {
        let answer: HTTPClientResponse
        do throws(HTTPClientFailure) {
            answer = try self.client.send(request)
        } catch {
            throw self.failure(error, request)
        }
        guard answer.status == 200 || accepted.contains(answer.status) else {
            throw RelayFailure(message: self.refusal(answer, request))
        }
        return answer.body
    }

    private func parsed(_ bytes: [UInt8], _ path: String) throws(RelayFailure) -> JSONValue {
        do throws(JSONFailure) {
            return try parseJSON(bytes)
        } catch {
            throw RelayFailure(
                message:
                    "what \(self.address)\(path) answers is no JSON (\(error.reason), at byte \(error.offset)); is "
                    + "it a debug endpoint of weir?")
        }
    }

    // MARK: What went wrong

    private func refusal(_ answer: HTTPClientResponse, _ request: HTTPClientRequest) -> String {
        let said = (try? parseJSON(answer.body))?["error"]?.string ?? "status \(answer.status)"
        let hint =
            answer.status == 401 && self.token == nil
            ? "; name a file with a token: --token-file or WEIR_TOKEN_FILE" : ""
        return printable("\(self.address): \(said)\(hint)")
    }

    private func failure(_ failure: HTTPClientFailure, _ request: HTTPClientRequest) -> RelayFailure {
        let message =
            switch failure {
            case .unreachable(let reason):
                "cannot reach the debug endpoint at \(self.address): \(reason). Is the relay running, and is this its "
                    + "admin.address? --admin URL or WEIR_ADMIN names another one"
            case .untrusted(let reason):
                "the debug endpoint at \(self.address) cannot be trusted: \(reason). --ca FILE names who signed its "
                    + "certificate"
            case .unusable(let reason): "\(self.address): \(reason)"
            case .timedOut:
                "\(self.address) did not answer in time (\(request.timeout?.seconds ?? 0) s; --timeout allows more)"
            case .tooLarge(let bytes):
                "the answer of \(self.address) has more than \(bytes) bytes; ask for less, as with --key or --type"
            case .broken(let reason): reason.hasPrefix(self.address) ? reason : "\(self.address): \(reason)"
            }
        return RelayFailure(message: message)
    }
}
