import COpenSSL
import CWeirShims
package import WeirBase

/// Certificates, keys and policy for many sessions. To reload, make another: sessions keep theirs.
///
/// Confined to one thread: one context per worker. Ticket keys are therefore a worker's own, and a client that comes to
/// another worker makes a full handshake.
@safe package final class TLSContext {
    let raw: OpaquePointer
    let pipeMethod = TLSPipeMethod()
    let allowedSANs: [String]
    let serverName: String?
    /// What `readPlaintext` reads into: one record's worth, shared by the sessions of the thread.
    let scratch: UnsafeMutableRawBufferPointer
    var scratchIsInUse = false

    package let role: TLSRole

    /// When our own certificate expires; nil for a client without one.
    package let certificateExpiry: WallTime?

    /// TLS 1.2 suites that HTTP/2 permits (RFC 9113 §9.2.2): ephemeral keys and authenticated encryption.
    private static let suites = "ECDHE+AESGCM:ECDHE+CHACHA20"

    /// The context of a listener.
    ///
    /// - Throws: `.configuration`, with the file and the reason.
    package static func server(_ configuration: TLSServerConfiguration) throws(TLSError) -> TLSContext {
        if configuration.clientCA == nil, !configuration.allowedSANs.isEmpty {
            throw TLSError(.configuration, "allowed_sans needs client_ca: without it no client shows a certificate")
        }
        let raw = unsafe try self.create(.server, minimumVersion: configuration.minimumVersion)
        return unsafe try self.owning(raw, .server, configuration.allowedSANs, nil) { () throws(TLSError) in
            unsafe try self.useCertificate(raw, configuration.certificateChain, configuration.privateKey)
            unsafe SSL_CTX_set_alpn_select_cb(raw, selectProtocol, nil)
            if let ca = configuration.clientCA { unsafe try self.requireClients(raw, ca) }
        }
    }

    /// The context for connecting to origins.
    ///
    /// - Throws: `.configuration`, with the file and the reason.
    package static func client(_ configuration: TLSClientConfiguration) throws(TLSError) -> TLSContext {
        let raw = unsafe try self.create(.client, minimumVersion: .v1_2)
        return unsafe try self.owning(raw, .client, [], configuration.serverName) { () throws(TLSError) in
            switch (configuration.certificateChain, configuration.privateKey) {
            case (let chain?, let key?): unsafe try self.useCertificate(raw, chain, key)
            case (nil, nil): break
            default:
                throw TLSError(.configuration, "certificate_chain and private_key go together: give both or none")
            }
            unsafe try self.trust(raw, configuration.ca)
            unsafe SSL_CTX_set_verify(raw, SSL_VERIFY_PEER, verifyPeer)
            let offered: [UInt8] = [2, UInt8(ascii: "h"), UInt8(ascii: "2")]
            _ = unsafe SSL_CTX_set_alpn_protos(raw, offered, UInt32(offered.count))
        }
    }

    private init(raw: OpaquePointer, role: TLSRole, allowedSANs: [String], serverName: String?) {
        unsafe self.raw = raw
        self.role = role
        self.allowedSANs = allowedSANs
        self.serverName = serverName
        let certificate = unsafe SSL_CTX_get0_certificate(raw)
        self.certificateExpiry = unsafe certificate.flatMap { unsafe Certificate.expiry($0) }
        unsafe self.scratch = .allocate(byteCount: 16 << 10, alignment: 16)
    }

    deinit {
        unsafe self.scratch.deallocate()
        unsafe SSL_CTX_free(self.raw)
    }
}

extension TLSContext {
    private static func create(_ role: TLSRole, minimumVersion: TLSVersion) throws(TLSError) -> OpaquePointer {
        ErrorQueue.clear()
        let method = unsafe role == .server ? TLS_server_method() : TLS_client_method()
        guard let raw = unsafe SSL_CTX_new(method) else {
            throw TLSError(.configuration, self.reason(ErrorQueue.drain()))
        }
        let version = minimumVersion == .v1_3 ? TLS1_3_VERSION : TLS1_2_VERSION
        _ = unsafe weir_ssl_ctx_set_min_version(raw, version)
        _ = unsafe SSL_CTX_set_cipher_list(raw, self.suites)
        _ = unsafe SSL_CTX_set_options(raw, weir_ssl_op_no_renegotiation())
        // Idle connections give their record buffers back; the buffer of a repeated write may have moved.
        unsafe weir_ssl_ctx_set_mode(
            raw, Int(SSL_MODE_RELEASE_BUFFERS) | Int(SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER) | Int(SSL_MODE_AUTO_RETRY))
        // Resumption, where there is any, is by tickets: no memory is held per client.
        unsafe weir_ssl_ctx_session_cache_off(raw)
        unsafe SSL_CTX_set_default_passwd_cb(raw, refusePassword)  // without it OpenSSL asks on the terminal
        return unsafe raw
    }

    /// The context around `raw`, which is freed if `configure` throws.
    private static func owning(
        _ raw: OpaquePointer, _ role: TLSRole, _ allowedSANs: [String], _ serverName: String?,
        configure: () throws(TLSError) -> Void
    ) throws(TLSError) -> TLSContext {
        ErrorQueue.clear()
        do throws(TLSError) {
            try configure()
        } catch {
            unsafe SSL_CTX_free(raw)
            throw error
        }
        ErrorQueue.clear()
        return unsafe TLSContext(raw: raw, role: role, allowedSANs: allowedSANs, serverName: serverName)
    }

    private static func useCertificate(_ raw: OpaquePointer, _ chain: String, _ key: String) throws(TLSError) {
        guard unsafe SSL_CTX_use_certificate_chain_file(raw, chain) == 1 else {
            throw self.fileError("certificate chain", chain)
        }
        guard unsafe SSL_CTX_use_PrivateKey_file(raw, key, SSL_FILETYPE_PEM) == 1 else {
            let errors = ErrorQueue.drain()
            if errors.contains(where: { $0.library == ERR_LIB_X509 }) {
                throw TLSError(.configuration, "private key \(key) does not belong to the certificate in \(chain)")
            }
            if errors.contains(where: { $0.library == ERR_LIB_PEM && $0.reason == PEM_R_BAD_PASSWORD_READ }) {
                throw TLSError(.configuration, "private key \(key) is encrypted; weir needs it unencrypted")
            }
            throw TLSError(.configuration, "private key \(key): \(self.reason(errors))")
        }
    }

    private static func requireClients(_ raw: OpaquePointer, _ ca: String) throws(TLSError) {
        guard unsafe SSL_CTX_load_verify_file(raw, ca) == 1 else { throw self.fileError("client CA", ca) }
        unsafe SSL_CTX_set_client_CA_list(raw, SSL_load_client_CA_file(ca))
        unsafe SSL_CTX_set_verify(raw, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, verifyPeer)
        // A resumed session is not verified again: after a change of CA or of allowed names, or once its certificate
        // has expired, a client could go on with a ticket. So every connection shows its certificate.
        _ = unsafe SSL_CTX_set_options(raw, weir_ssl_op_no_ticket())
        _ = unsafe SSL_CTX_set_num_tickets(raw, 0)
    }

    private static func trust(_ raw: OpaquePointer, _ ca: String?) throws(TLSError) {
        if let ca {
            guard unsafe SSL_CTX_load_verify_file(raw, ca) == 1 else { throw self.fileError("CA", ca) }
        } else if unsafe SSL_CTX_set_default_verify_paths(raw) != 1 {
            throw TLSError(.configuration, "the system's CA certificates: \(self.reason(ErrorQueue.drain()))")
        }
    }

    private static func fileError(_ what: String, _ path: String) -> TLSError {
        TLSError(.configuration, "\(what) \(path): \(self.reason(ErrorQueue.drain()))")
    }

    /// The most telling error: the first is nearest to the cause.
    private static func reason(_ errors: [OpenSSLError]) -> String {
        if errors.contains(where: { $0.library == ERR_LIB_PEM && $0.reason == PEM_R_NO_START_LINE }) {
            return "no PEM block of this kind in it"
        }
        return errors.first?.text ?? "cannot be used"
    }
}

/// Chooses h2 from the client's list; refuses a list without it.
@c(weir_tls_select_protocol)
func selectProtocol(
    _ session: OpaquePointer?, _ chosen: UnsafeMutablePointer<UnsafePointer<UInt8>?>?,
    _ chosenCount: UnsafeMutablePointer<UInt8>?, _ offered: UnsafePointer<UInt8>?, _ offeredCount: UInt32,
    _ context: UnsafeMutableRawPointer?
) -> CInt {
    let list = unsafe UnsafeBufferPointer(start: offered, count: Int(offeredCount))
    var index = 0
    while index < list.count {
        let count = Int(unsafe list[index])
        guard count > 0, index + count < list.count else { break }
        if count == 2, unsafe list[index + 1] == UInt8(ascii: "h"), unsafe list[index + 2] == UInt8(ascii: "2") {
            unsafe chosen?.pointee = offered?.advanced(by: index + 1)  // OpenSSL keeps the list until it has copied
            unsafe chosenCount?.pointee = 2
            return SSL_TLSEXT_ERR_OK
        }
        index += 1 + count
    }
    return SSL_TLSEXT_ERR_ALERT_FATAL
}

@c(weir_tls_refuse_password)
func refusePassword(
    _ buffer: UnsafeMutablePointer<CChar>?, _ size: CInt, _ isWriting: CInt, _ context: UnsafeMutableRawPointer?
) -> CInt { -1 }
