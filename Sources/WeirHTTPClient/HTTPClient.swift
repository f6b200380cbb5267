import CCurl
import CWeirShims
import WeirBase

/// A blocking HTTP/1.1 client on libcurl; keeps its connection between requests.
///
/// For the command line, and for threads that have nothing else to do: a call may last as long as its timeout. One thread
/// at a time. Proxies of the environment are not used and redirects not followed: what is spoken to is what was named.
@safe package final class HTTPClient {
    /// Of what libcurl says of a failure; its header names the size.
    private static var errorBytes: Int { Int(CURL_ERROR_SIZE) }
    /// Of one line of a stream.
    package static var lineBytesMax: Int { 1 << 20 }
    /// Once for the process; libcurl's own lock guards it.
    private static let isReady = weir_curl_global_init() == CURLE_OK

    private let handle: UnsafeMutableRawPointer
    /// Where libcurl writes its reason; it keeps the address.
    private let errorText: UnsafeMutablePointer<CChar>

    /// Nil when there is no memory.
    package init?() {
        guard HTTPClient.isReady, let handle = unsafe curl_easy_init() else { return nil }
        unsafe self.handle = handle
        unsafe self.errorText = .allocate(capacity: HTTPClient.errorBytes)
        unsafe self.errorText.initialize(repeating: 0, count: HTTPClient.errorBytes)
    }

    deinit {
        unsafe curl_easy_cleanup(self.handle)
        unsafe self.errorText.deallocate()
    }

    /// Sends a request and waits for the whole answer, whatever its status.
    package func send(_ request: HTTPClientRequest) throws(HTTPClientFailure) -> HTTPClientResponse {
        let receiver = Receiver(bytesMax: request.bodyBytesMax)
        return try self.perform(request, receiver)
    }

    /// Hands over each line of an answer of status 200 as it comes, until `onLine` says false or the answer ends; the
    /// body that is returned is what stands after the last line. Another status is returned as by `send`.
    package func stream(
        _ request: HTTPClientRequest, onLine: @escaping (String) -> Bool
    ) throws(HTTPClientFailure) -> HTTPClientResponse {
        let receiver = Receiver(bytesMax: HTTPClient.lineBytesMax, onLine: onLine)
        return try self.perform(request, receiver)
    }

    private func perform(
        _ request: HTTPClientRequest, _ receiver: Receiver
    ) throws(HTTPClientFailure) -> HTTPClientResponse {
        let transfer = unsafe Transfer(handle: self.handle, receiver: receiver)
        unsafe curl_easy_reset(self.handle)
        unsafe self.errorText.pointee = 0
        let headers = HeaderList(request.headers)
        defer { withExtendedLifetime((transfer, headers)) { unsafe curl_easy_reset(self.handle) } }
        self.set(request)
        unsafe weir_curl_set_list(self.handle, CURLOPT_HTTPHEADER, headers.first)
        unsafe weir_curl_set_writer(
            self.handle, httpClientWrite, Unmanaged.passUnretained(transfer).toOpaque())
        unsafe weir_curl_set_pointer(self.handle, CURLOPT_ERRORBUFFER, self.errorText)
        let code = unsafe curl_easy_perform(self.handle)
        if code != CURLE_OK, receiver.stop != .listenerIsDone { throw self.failure(code, request, receiver) }
        return HTTPClientResponse(
            status: transfer.status, contentType: self.text(CURLINFO_CONTENT_TYPE), body: receiver.body)
    }

    private func set(_ request: HTTPClientRequest) {
        self.set(CURLOPT_URL, request.url)
        self.set(CURLOPT_PROTOCOLS_STR, "http,https")
        self.set(CURLOPT_PROXY, "")
        self.set(CURLOPT_NOSIGNAL, 1)
        self.set(CURLOPT_HTTP_VERSION, Int(CURL_HTTP_VERSION_1_1))
        self.set(CURLOPT_CONNECTTIMEOUT_MS, HTTPClient.milliseconds(request.connectTimeout))
        if let timeout = request.timeout { self.set(CURLOPT_TIMEOUT_MS, HTTPClient.milliseconds(timeout)) }
        self.set(CURLOPT_TCP_KEEPALIVE, 1)
        self.set(CURLOPT_ACCEPT_ENCODING, "gzip")
        if let path = request.unixSocket { self.set(CURLOPT_UNIX_SOCKET_PATH, path) }
        self.set(CURLOPT_SSLVERSION, Int(CURL_SSLVERSION_TLSv1_2))
        if !request.trust.authorities.isEmpty { self.set(CURLOPT_CAINFO, request.trust.authorities) }
        if !request.trust.certificate.isEmpty { self.set(CURLOPT_SSLCERT, request.trust.certificate) }
        if !request.trust.privateKey.isEmpty { self.set(CURLOPT_SSLKEY, request.trust.privateKey) }
        if let body = request.body {
            self.set(CURLOPT_POST, 1)
            self.set(CURLOPT_POSTFIELDSIZE, body.count)
            // Copies; the size must be known before.
            _ = unsafe body.withUnsafeBytes { bytes in
                unsafe weir_curl_set_pointer(
                    self.handle, CURLOPT_COPYPOSTFIELDS,
                    bytes.isEmpty
                        ? UnsafeMutableRawPointer(self.errorText)
                        : UnsafeMutableRawPointer(
                            mutating: bytes.baseAddress))
            }
        } else if request.method == "HEAD" {
            self.set(CURLOPT_NOBODY, 1)
        }
        self.set(CURLOPT_CUSTOMREQUEST, request.method)
    }

    private func set(_ option: CURLoption, _ text: String) {
        _ = unsafe weir_curl_set_text(self.handle, option, text)
    }

    private func set(_ option: CURLoption, _ number: Int) {
        _ = unsafe weir_curl_set_number(self.handle, option, number)
    }

    private func text(_ info: CURLINFO) -> String {
        var text: UnsafeMutablePointer<CChar>?
        unsafe weir_curl_get_text(self.handle, info, &text)
        return unsafe text.map { unsafe String(cString: $0) } ?? ""
    }

    /// At least one: to libcurl zero means its default.
    private static func milliseconds(_ span: Nanoseconds) -> Int { max(1, Int(span.rawValue / 1_000_000)) }

    private func failure(
        _ code: CURLcode, _ request: HTTPClientRequest, _ receiver: Receiver
    ) -> HTTPClientFailure {
        let said = unsafe String(cString: self.errorText)
        let words = unsafe said.isEmpty ? String(cString: curl_easy_strerror(code)) : said
        switch code {
        case CURLE_WRITE_ERROR where receiver.stop == .tooLarge:
            return .tooLarge(receiver.limit)
        case CURLE_OPERATION_TIMEDOUT: return .timedOut
        case CURLE_COULDNT_CONNECT, CURLE_COULDNT_RESOLVE_HOST: return .unreachable(self.connectionError ?? words)
        case CURLE_URL_MALFORMAT, CURLE_UNSUPPORTED_PROTOCOL, CURLE_SSL_CERTPROBLEM, CURLE_SSL_CACERT_BADFILE:
            return .unusable(words)
        case CURLE_SSL_CONNECT_ERROR, CURLE_PEER_FAILED_VERIFICATION, CURLE_SSL_ISSUER_ERROR: return .untrusted(words)
        default: return .broken(words)
        }
    }

    /// The system's reason for a refused connection, shorter than libcurl's sentence; nil if it has none.
    private var connectionError: String? {
        var code = 0
        unsafe weir_curl_get_number(self.handle, CURLINFO_OS_ERRNO, &code)
        guard code != 0, let text = unsafe strerror(CInt(truncatingIfNeeded: code)) else { return nil }
        return unsafe String(cString: text)
    }
}

/// Header lines in libcurl's form, which must outlive the transfer.
@safe private final class HeaderList {
    let first: UnsafeMutablePointer<curl_slist>?

    init(_ headers: [HTTPClientHeader]) {
        var list: UnsafeMutablePointer<curl_slist>?
        // A body is sent at once: nobody is asked whether it may come.
        for header in [HTTPClientHeader("Expect", "")] + headers {
            let clean = header.value.filter { !$0.isNewline && $0 != "\0" }
            if let longer = unsafe curl_slist_append(list, "\(header.name): \(clean)") { unsafe list = longer }
        }
        unsafe self.first = list
    }

    deinit { unsafe curl_slist_free_all(self.first) }
}
