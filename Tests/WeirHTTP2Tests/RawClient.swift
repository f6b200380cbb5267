/// Frames written by hand, with literal header fields, for what a proper client never sends.
struct RawClient {
    func preface() -> [UInt8] { Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8) + self.frame(4, 0, 0, []) }

    func frame(_ type: UInt8, _ flags: UInt8, _ stream: UInt8, _ payload: [UInt8]) -> [UInt8] {
        let count = payload.count
        return [UInt8(count >> 16), UInt8(count >> 8 & 255), UInt8(count & 255), type, flags, 0, 0, 0, stream] + payload
    }

    func headers(_ fields: [(String, String)], stream: UInt8 = 1, endStream: Bool = false) -> [UInt8] {
        var block: [UInt8] = []
        for (name, value) in fields {
            block.append(0)  // literal field without indexing, new name (RFC 7541 §6.2.2)
            for text in [name, value] { block += self.length(text.utf8.count) + Array(text.utf8) }
        }
        let first = block.prefix(16_000)
        let rest = Array(block.dropFirst(16_000))
        let flags: UInt8 = (endStream ? 1 : 0) | (rest.isEmpty ? 4 : 0)
        return self.frame(1, flags, stream, Array(first)) + (rest.isEmpty ? [] : self.frame(9, 4, stream, rest))
    }

    func data(_ bytes: [UInt8], stream: UInt8 = 1, endStream: Bool = false) -> [UInt8] {
        bytes.isEmpty && !endStream ? [] : self.frame(0, endStream ? 1 : 0, stream, bytes)
    }

    /// HPACK integer with a seven-bit prefix, without Huffman.
    private func length(_ value: Int) -> [UInt8] {
        if value < 127 { return [UInt8(value)] }
        var bytes: [UInt8] = [127]
        var left = value - 127
        while left >= 128 {
            bytes.append(UInt8(left & 127 | 128))
            left >>= 7
        }
        return bytes + [UInt8(left)]
    }
}

import CNghttp2

extension RawClient {
    /// All header fields in a server's bytes, decoded by nghttp2; a later field replaces an earlier one.
    func fields(of bytes: [UInt8]) -> [String: String] {
        var raw: OpaquePointer?
        unsafe nghttp2_hd_inflate_new(&raw)
        defer { unsafe nghttp2_hd_inflate_del(raw) }
        var fields: [String: String] = [:]
        var position = 0
        while position + 9 <= bytes.count {
            let count = Int(bytes[position]) << 16 | Int(bytes[position + 1]) << 8 | Int(bytes[position + 2])
            let payload = Array(bytes[(position + 9)..<(position + 9 + count)])
            if bytes[position + 3] == 1 { unsafe self.inflate(raw, payload, into: &fields) }
            position += 9 + count
        }
        return fields
    }

    private func inflate(_ raw: OpaquePointer?, _ block: [UInt8], into fields: inout [String: String]) {
        var position = 0
        while true {
            var field = unsafe nghttp2_nv()
            var flags: CInt = 0
            let used = unsafe block.withUnsafeBufferPointer { bytes in
                unsafe nghttp2_hd_inflate_hd2(
                    raw, &field, &flags, bytes.baseAddress?.advanced(by: position), bytes.count - position, 1)
            }
            guard used >= 0 else { return }
            position += used
            if flags & CInt(NGHTTP2_HD_INFLATE_EMIT.rawValue) != 0 {
                let name = unsafe UnsafeBufferPointer(start: field.name, count: field.namelen)
                let value = unsafe UnsafeBufferPointer(start: field.value, count: field.valuelen)
                unsafe fields[String(decoding: name, as: UTF8.self)] = String(decoding: value, as: UTF8.self)
            }
            if flags & CInt(NGHTTP2_HD_INFLATE_FINAL.rawValue) != 0 { break }
        }
        unsafe nghttp2_hd_inflate_end_headers(raw)
    }
}
