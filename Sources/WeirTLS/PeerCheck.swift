import COpenSSL
import CWeirShims

/// What one session asks of its peer's certificate beyond the chain, and what it found: written by OpenSSL's callback,
/// read by the session afterwards.
final class PeerCheck {
    /// Patterns of which one must match; empty asks for nothing.
    let allowedSANs: [String]
    /// What was wrong, if anything.
    private(set) var failure: String?

    init(allowedSANs: [String]) { self.allowedSANs = allowedSANs }

    /// Whether the certificate at the end of a valid chain will do.
    func accepts(_ identity: PeerIdentity) -> Bool {
        if self.allowedSANs.isEmpty || identity.matches(anyOf: self.allowedSANs) { return true }
        self.failure = "the peer's certificate is not for an allowed name; it has \(Self.list(identity))"
        return false
    }

    /// OpenSSL found the chain or the name wrong.
    func chainFailed(_ error: CInt, depth: CInt, _ identity: PeerIdentity?) {
        let text = unsafe String(cString: X509_verify_cert_error_string(Int(error)))
        var message = "certificate verify failed: \(text)"
        if let identity {
            let isName = [X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH].contains(error)
            message += isName ? "; it has \(Self.list(identity))" : " (\(identity.subject), depth \(depth))"
        }
        self.failure = message
    }

    private static func list(_ identity: PeerIdentity) -> String {
        let names = identity.names.prefix(10).map(\.description).joined(separator: ", ")
        return names.isEmpty ? "no URI or DNS name (subject \(identity.subject))" : names
    }
}

/// Called for each certificate of the chain, from the root to the peer's own (depth 0).
@c(weir_tls_verify_peer)
func verifyPeer(_ isGood: CInt, _ store: OpaquePointer?) -> CInt {
    let index = SSL_get_ex_data_X509_STORE_CTX_idx()
    guard let session = unsafe X509_STORE_CTX_get_ex_data(store, index),
        let context = unsafe weir_ssl_get_data(OpaquePointer(session))
    else { return 0 }
    let check = unsafe Unmanaged<PeerCheck>.fromOpaque(context).takeUnretainedValue()
    let depth = unsafe X509_STORE_CTX_get_error_depth(store)
    let certificate = unsafe X509_STORE_CTX_get_current_cert(store)
    if isGood != 1 {
        let identity = unsafe certificate.map { unsafe Certificate.identity($0) }
        check.chainFailed(unsafe X509_STORE_CTX_get_error(store), depth: depth, identity)
        return 0
    }
    guard depth == 0, !check.allowedSANs.isEmpty else { return 1 }
    if let certificate = unsafe certificate, check.accepts(unsafe Certificate.identity(certificate)) { return 1 }
    unsafe X509_STORE_CTX_set_error(store, X509_V_ERR_APPLICATION_VERIFICATION)
    return 0
}
