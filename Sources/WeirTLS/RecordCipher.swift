import COpenSSL

/// Encrypts records that lie on a disk: AES-256-GCM with a random nonce for each record.
///
/// A sealed record is nonce (12 bytes), ciphertext, tag (16 bytes), and is bound to the place it is kept at. Random
/// nonces are good for some 2^32 records under one key. Source: NIST SP 800-38D.
package struct RecordCipher: Sendable {
    package static let keyBytes = 32
    private static let nonceBytes = 12
    private static let tagBytes = 16

    private let key: [UInt8]

    /// Nil unless the key has 32 bytes.
    package init?(key: [UInt8]) {
        guard key.count == Self.keyBytes else { return nil }
        self.key = key
    }

    /// Nil if OpenSSL has no randomness or no memory.
    package func seal(_ plain: [UInt8], boundTo place: [UInt8]) -> [UInt8]? {
        var nonce = [UInt8](repeating: 0, count: Self.nonceBytes)
        guard unsafe RAND_bytes(&nonce, CInt(nonce.count)) == 1, let count = CInt(exactly: plain.count) else {
            return nil
        }
        guard let context = unsafe EVP_CIPHER_CTX_new() else { return nil }
        defer { unsafe EVP_CIPHER_CTX_free(context) }
        var sealed = [UInt8](repeating: 0, count: plain.count + Self.tagBytes)
        var tag = [UInt8](repeating: 0, count: Self.tagBytes)
        var written: CInt = 0
        guard unsafe EVP_EncryptInit_ex(context, EVP_aes_256_gcm(), nil, self.key, nonce) == 1,
            unsafe EVP_EncryptUpdate(context, nil, &written, place, CInt(place.count)) == 1,
            unsafe EVP_EncryptUpdate(context, &sealed, &written, plain, count) == 1,
            unsafe EVP_EncryptFinal_ex(context, &tag, &written) == 1,
            unsafe EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, CInt(Self.tagBytes), &tag) == 1
        else {
            ErrorQueue.clear()
            return nil
        }
        sealed.replaceSubrange(plain.count..., with: tag)
        return nonce + sealed
    }

    /// Nil if it was not sealed with this key for this place, or has changed since.
    package func open(_ sealed: [UInt8], boundTo place: [UInt8]) -> [UInt8]? {
        let count = sealed.count - Self.nonceBytes - Self.tagBytes
        guard count >= 0, let length = CInt(exactly: count) else { return nil }
        let nonce = Array(sealed.prefix(Self.nonceBytes))
        let text = Array(sealed[Self.nonceBytes..<Self.nonceBytes + count])
        var tag = Array(sealed.suffix(Self.tagBytes))
        guard let context = unsafe EVP_CIPHER_CTX_new() else { return nil }
        defer { unsafe EVP_CIPHER_CTX_free(context) }
        // A buffer of no bytes has no address to give.
        var plain = [UInt8](repeating: 0, count: count + Self.tagBytes)
        var last = [UInt8](repeating: 0, count: Self.tagBytes)
        var written: CInt = 0
        guard unsafe EVP_DecryptInit_ex(context, EVP_aes_256_gcm(), nil, self.key, nonce) == 1,
            unsafe EVP_DecryptUpdate(context, nil, &written, place, CInt(place.count)) == 1,
            unsafe EVP_DecryptUpdate(context, &plain, &written, text, length) == 1,
            unsafe EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, CInt(Self.tagBytes), &tag) == 1,
            unsafe EVP_DecryptFinal_ex(context, &last, &written) == 1
        else {
            ErrorQueue.clear()
            return nil
        }
        plain.removeLast(Self.tagBytes)
        return plain
    }
}
