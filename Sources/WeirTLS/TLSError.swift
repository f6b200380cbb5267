import COpenSSL
import CWeirShims

/// What went wrong with TLS, in words for an operator.
package struct TLSError: Error, Hashable, Sendable, CustomStringConvertible {
    package enum Kind: Hashable, Sendable {
        /// A file is missing or wrong: the operator's.
        case configuration
        /// The peers did not come to terms: certificates, versions, ALPN.
        case handshake
        /// The connection broke after the handshake.
        case connection
    }

    package let kind: Kind
    package let description: String

    package init(_ kind: Kind, _ description: String) {
        self.kind = kind
        self.description = description
    }
}

/// OpenSSL's error queue: per thread and sticky, so it is cleared before a call and emptied after a failed one.
enum ErrorQueue {
    static func clear() { ERR_clear_error() }

    /// Empties the queue.
    static func drain() -> [OpenSSLError] {
        var errors: [OpenSSLError] = []
        while true {
            let code = ERR_get_error()
            if code == 0 { return errors }
            errors.append(OpenSSLError(code: code))
        }
    }
}

struct OpenSSLError {
    let code: UInt

    var library: CInt { weir_err_lib(self.code) }
    var reason: CInt { weir_err_reason(self.code) }

    func isSSL(_ reason: CInt) -> Bool { self.library == ERR_LIB_SSL && self.reason == reason }

    /// Whether the error tells of an alert that the peer sent.
    private var isAlert: Bool {
        self.library == ERR_LIB_SSL && self.reason >= SSL_AD_REASON_OFFSET && self.reason < SSL_AD_REASON_OFFSET + 256
    }

    var text: String {
        if weir_err_is_system(self.code) != 0, let text = unsafe strerror(self.reason) {
            return unsafe String(cString: text)
        }
        guard let raw = unsafe ERR_reason_error_string(self.code) else { return "OpenSSL error \(self.code)" }
        let text = unsafe String(cString: raw)
        return self.isAlert ? "the peer refused with alert \"\(Self.alertName(text))\"" : text
    }

    /// `unknown ca` from `tlsv1 alert unknown ca`.
    private static func alertName(_ text: String) -> String {
        let words = text.split(separator: " ")
        guard let index = words.firstIndex(of: "alert") else { return text }
        return words[(index + 1)...].joined(separator: " ")
    }
}
