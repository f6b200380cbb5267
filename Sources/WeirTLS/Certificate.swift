import COpenSSL
import CWeirShims
import Glibc
package import WeirBase

/// When the first certificate of a PEM text ends to be valid; nil where the text begins with none. Any thread.
package func certificateExpiry(pem: [UInt8]) -> WallTime? {
    let certificate: OpaquePointer? = unsafe pem.withUnsafeBytes { bytes in
        guard let input = unsafe BIO_new_mem_buf(bytes.baseAddress, CInt(clamping: bytes.count)) else { return nil }
        defer { unsafe BIO_free(input) }
        return unsafe PEM_read_bio_X509(input, nil, nil, nil)
    }
    guard let certificate = unsafe certificate else { return nil }
    defer { unsafe X509_free(certificate) }
    return unsafe Certificate.expiry(certificate)
}

/// Reading of certificates; the pointers are borrowed for the call.
enum Certificate {
    /// At most this many names of one certificate are read.
    static let namesMax = 100

    static func identity(_ certificate: OpaquePointer) -> PeerIdentity {
        var uris: [String] = []
        var hosts: [String] = []
        for name in unsafe self.names(certificate) {
            switch name {
            case .uri(let text): uris.append(text)
            case .dns(let text): hosts.append(text)
            }
        }
        return PeerIdentity(uriSANs: uris, dnsSANs: hosts, subject: unsafe self.subject(certificate))
    }

    /// A name with a zero byte or a line break in it is no name (RFC 5280 has none), and is left out: it could pass for
    /// a shorter one.
    static func names(_ certificate: OpaquePointer) -> [SubjectAltName] {
        guard let raw = unsafe X509_get_ext_d2i(certificate, NID_subject_alt_name, nil, nil) else { return [] }
        let list = OpaquePointer(raw)
        defer { unsafe GENERAL_NAMES_free(list) }
        var names: [SubjectAltName] = []
        for index in unsafe 0..<min(weir_general_names_count(list), CInt(self.namesMax)) {
            guard let entry = unsafe weir_general_names_at(list, index) else { continue }
            var kind: CInt = 0
            guard let value = unsafe GENERAL_NAME_get0_value(entry, &kind), kind == GEN_URI || kind == GEN_DNS,
                let text = unsafe self.text(UnsafeMutableRawPointer(value).assumingMemoryBound(to: ASN1_STRING.self))
            else { continue }
            names.append(kind == GEN_URI ? .uri(text) : .dns(text))
        }
        return names
    }

    private static func text(_ string: UnsafePointer<ASN1_STRING>) -> String? {
        let count = Int(unsafe ASN1_STRING_length(string))
        guard count > 0, let data = unsafe ASN1_STRING_get0_data(string) else { return nil }
        let bytes = unsafe UnsafeBufferPointer(start: data, count: count)
        guard unsafe bytes.allSatisfy({ (0x21...0x7E).contains($0) }) else { return nil }
        return unsafe String(decoding: bytes, as: UTF8.self)
    }

    static func subject(_ certificate: OpaquePointer) -> String {
        guard let output = unsafe BIO_new(BIO_s_mem()) else { return "" }
        defer { unsafe BIO_free(output) }
        let flags = weir_x509_name_rfc2253()
        guard unsafe X509_NAME_print_ex(output, X509_get_subject_name(certificate), 0, flags) >= 0 else { return "" }
        return unsafe withUnsafeTemporaryAllocation(byteCount: 512, alignment: 1) { buffer in
            let count = unsafe BIO_read(output, buffer.baseAddress, CInt(buffer.count))
            return unsafe String(decoding: buffer.prefix(Int(max(0, count))), as: UTF8.self)
        }
    }

    /// When the certificate ends to be valid.
    static func expiry(_ certificate: OpaquePointer) -> WallTime? {
        var parts = unsafe tm()
        guard unsafe ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &parts) == 1 else { return nil }
        let seconds = Int64(unsafe timegm(&parts))
        let (nanoseconds, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
        return WallTime(rawValue: overflow ? .max : nanoseconds)
    }
}
