import COpenSSL
import CWeirShims
import Glibc

/// One TLS connection without a socket: ciphertext and plaintext go in and out as bytes.
///
/// The order of work: `receive` what the network brought, `readPlaintext` until nothing is left (always, after each
/// `receive`), `write` answers, `takeCiphertext` to the network. After an error nothing more can be received or written,
/// but an alert for the peer may still be pending: take it, then close. Confined to the thread of its context. Queues
/// have no bound of their own: the owner reads only so much at a time, and looks at `pendingCiphertext` before it writes.
@safe package final class TLSSession {
    package enum HandshakeState: Hashable, Sendable { case inProgress, done }

    private let context: TLSContext
    let raw: OpaquePointer
    private let pipe = TLSPipe()
    private let check: PeerCheck
    private var failure: TLSError?
    private var shutdownIsSent = false
    private var identity: PeerIdentity?

    package private(set) var handshakeState: HandshakeState = .inProgress

    /// The peer has said that it will send nothing more (close_notify).
    package private(set) var peerClosed = false

    /// A session in the context's role. A client's verifies the configured server name, and if there is none, nothing
    /// but the chain: prefer `init(client:serverName:)`.
    package convenience init(context: TLSContext, role: TLSRole) throws(TLSError) {
        precondition(context.role == role, "a server's context is for servers, a client's for clients")
        try self.init(context, name: context.serverName)
    }

    /// The session of a client. `dialled` is the host that was dialled; the configured server name comes before it.
    package convenience init(client context: TLSContext, serverName dialled: String?) throws(TLSError) {
        precondition(context.role == .client, "a server's context is for servers")
        try self.init(context, name: context.serverName ?? dialled)
    }

    private init(_ context: TLSContext, name: String?) throws(TLSError) {
        ErrorQueue.clear()
        guard let raw = unsafe SSL_new(context.raw) else {
            throw TLSError(.handshake, ErrorQueue.drain().first?.text ?? "out of memory")
        }
        guard let bio = unsafe context.pipeMethod.make(self.pipe) else {
            unsafe SSL_free(raw)
            throw TLSError(.handshake, "out of memory")
        }
        let isURI = name?.utf8.contains(UInt8(ascii: "/")) == true
        self.context = context
        unsafe self.raw = raw
        self.check = PeerCheck(allowedSANs: isURI ? [name ?? ""] : context.allowedSANs)
        unsafe SSL_set_bio(raw, bio, bio)  // takes the one reference for both directions
        unsafe weir_ssl_set_data(raw, Unmanaged.passUnretained(self.check).toOpaque())
        if context.role == .server {
            unsafe SSL_set_accept_state(raw)
            return
        }
        unsafe SSL_set_connect_state(raw)
        if let name, !isURI { try self.expect(name) }
        try self.advanceHandshake()
    }

    deinit {
        unsafe SSL_free(self.raw)  // frees the BIO, too; the pipe and the check are still there
        ErrorQueue.clear()
    }

    // MARK: Network side

    /// Bytes from the network.
    ///
    /// - Throws: `.handshake` if that fails; `pendingCiphertext` then holds the alert for the peer.
    package func receive(_ ciphertext: Span<UInt8>) throws(TLSError) {
        try self.checkUsable()
        self.pipe.receive(ciphertext)
        if self.handshakeState == .inProgress { try self.advanceHandshake() }
    }

    /// Bytes that wait for the network.
    package var pendingCiphertext: Int { self.pipe.outgoingCount }

    /// Offers the first bytes for the network, at most `count`; `sink` says how many of them it took. Many records are
    /// together in one run. `sink` is not called if nothing waits.
    package func takeCiphertext(upTo count: Int, _ sink: (Span<UInt8>) -> Int) {
        self.pipe.take(upTo: count, sink)
        self.pipe.trim()
    }

    // MARK: Plaintext side

    /// Gives all plaintext that has arrived to `sink`, in pieces of at most 16 KiB. Nothing before the handshake is done.
    /// `sink` may write, but must not read a session of the same context.
    package func readPlaintext(_ sink: (Span<UInt8>) -> Void) throws(TLSError) {
        try self.checkUsable()
        guard self.handshakeState == .done, !self.peerClosed else { return }
        precondition(!self.context.scratchIsInUse, "readPlaintext is not reentrant")
        self.context.scratchIsInUse = true
        defer { self.context.scratchIsInUse = false }
        let scratch = unsafe self.context.scratch
        while true {
            ErrorQueue.clear()
            var count = 0
            let result = unsafe SSL_read_ex(self.raw, scratch.baseAddress, scratch.count, &count)
            guard result == 1, count > 0 else { return try self.readEnded(result) }
            let bytes = unsafe UnsafeBufferPointer(rebasing: scratch.bindMemory(to: UInt8.self)[..<count])
            unsafe sink(bytes.span)
        }
    }

    /// Encrypts; the records wait for `takeCiphertext`. Only once the handshake is done.
    package func write(_ plaintext: Span<UInt8>) throws(TLSError) {
        try self.checkUsable()
        precondition(self.handshakeState == .done && !self.shutdownIsSent, "write between handshake and shutdown only")
        guard !plaintext.isEmpty else { return }
        // A record adds at most 5 + 16 + 1 bytes in TLS 1.3 and 5 + 8 + 16 in TLS 1.2, per 16 KiB.
        self.pipe.reserve(plaintext.count + (plaintext.count >> 14 + 1) * 32)
        ErrorQueue.clear()
        var written = 0
        let raw = unsafe self.raw
        let result = unsafe plaintext.withUnsafeBufferPointer { bytes in
            unsafe SSL_write_ex(raw, bytes.baseAddress, bytes.count, &written)
        }
        // The pipe takes everything, so it is all or an error.
        guard result == 1, written == plaintext.count else {
            throw self.fail(.connection, unsafe SSL_get_error(self.raw, result))
        }
    }

    /// Says that nothing more will be written. The close_notify waits for `takeCiphertext`.
    package func shutdown() {
        guard self.handshakeState == .done, self.failure == nil, !self.shutdownIsSent else { return }
        self.shutdownIsSent = true
        ErrorQueue.clear()
        _ = unsafe SSL_shutdown(self.raw)
        ErrorQueue.clear()
    }

    // MARK: Outcome of the handshake

    /// The peer's verified certificate; nil before the handshake is done and for a peer that showed none.
    package var peerIdentity: PeerIdentity? {
        if self.identity == nil { self.identity = self.readIdentity() }
        return self.identity
    }

    /// By ALPN: `h2`, or nil if the peer has no ALPN.
    package var negotiatedProtocol: String? {
        var bytes: UnsafePointer<UInt8>?
        var count: UInt32 = 0
        unsafe SSL_get0_alpn_selected(self.raw, &bytes, &count)
        guard let start = unsafe bytes, count > 0 else { return nil }
        return unsafe String(decoding: UnsafeBufferPointer(start: start, count: Int(count)), as: UTF8.self)
    }

    /// As OpenSSL writes it: `TLSv1.3`.
    package var negotiatedVersion: String { unsafe String(cString: SSL_get_version(self.raw)) }
}

extension TLSSession {
    /// Makes the handshake fail unless the certificate is for `name`; asks for it by SNI if it is a DNS name.
    private func expect(_ name: String) throws(TLSError) {
        let parameters = unsafe SSL_get0_param(self.raw)
        if unsafe X509_VERIFY_PARAM_set1_ip_asc(parameters, name) == 1 { return }
        ErrorQueue.clear()
        unsafe SSL_set_hostflags(self.raw, UInt32(X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS))
        guard !name.isEmpty, unsafe SSL_set1_host(self.raw, name) == 1, unsafe weir_ssl_set_sni(self.raw, name) == 1
        else {
            ErrorQueue.clear()
            throw TLSError(.configuration, "\"\(name)\" cannot be the name of a server")
        }
    }

    private func advanceHandshake() throws(TLSError) {
        ErrorQueue.clear()
        let result = unsafe SSL_do_handshake(self.raw)
        if result == 1 {
            self.handshakeState = .done
            return
        }
        let error = unsafe SSL_get_error(self.raw, result)
        if error == SSL_ERROR_WANT_READ { return }
        throw self.fail(.handshake, error)
    }

    private func readEnded(_ result: CInt) throws(TLSError) {
        let error = unsafe SSL_get_error(self.raw, result)
        switch error {
        case SSL_ERROR_WANT_READ: return
        case SSL_ERROR_ZERO_RETURN: self.peerClosed = true
        default: throw self.fail(.connection, error)
        }
    }

    private func checkUsable() throws(TLSError) {
        if let failure = self.failure { throw failure }
    }

    private func fail(_ kind: TLSError.Kind, _ error: CInt) -> TLSError {
        let errors = ErrorQueue.drain()
        let failure = TLSError(kind, self.check.failure ?? Self.text(errors, error))
        self.failure = failure
        return failure
    }

    private static func text(_ errors: [OpenSSLError], _ error: CInt) -> String {
        guard let first = errors.first else { return "the connection broke (OpenSSL error \(error))" }
        if first.isSSL(SSL_R_UNSUPPORTED_PROTOCOL) {
            return
                "the client offers no TLS version that is taken here (minimum_version); an Envoy offers TLSv1.3 if its "
                + "tls_params say \"tls_maximum_protocol_version: TLSv1_3\", and insists on it with "
                + "\"tls_minimum_protocol_version: TLSv1_3\""
        }
        if first.isSSL(SSL_R_HTTP_REQUEST) { return "the peer speaks plaintext HTTP, not TLS" }
        if first.isSSL(SSL_R_WRONG_VERSION_NUMBER) { return "what the peer sends is not TLS (is it plaintext?)" }
        if first.isSSL(SSL_R_NO_APPLICATION_PROTOCOL) { return "the client offers no HTTP/2: its ALPN lacks \"h2\"" }
        if first.isSSL(SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE) { return "the client shows no certificate" }
        return first.text
    }

    private func readIdentity() -> PeerIdentity? {
        guard self.handshakeState == .done, let certificate = unsafe SSL_get1_peer_certificate(self.raw) else {
            return nil
        }
        defer { unsafe X509_free(certificate) }
        return unsafe Certificate.identity(certificate)
    }
}
