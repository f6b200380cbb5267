import CZlib

/// Deflates into one gzip member, fast rather than small; nil where there is no memory for it, or for more than 4 GiB.
package func gzip(_ input: [UInt8]) -> [UInt8]? {
    guard let count = UInt32(exactly: input.count) else { return nil }
    // zlib remembers the address of its stream: allocated, never moved.
    let stream = UnsafeMutablePointer<z_stream>.allocate(capacity: 1)
    unsafe stream.initialize(to: z_stream())
    defer {
        unsafe stream.deinitialize(count: 1)
        unsafe stream.deallocate()
    }
    // 15 bits of window + 16: with a gzip header.
    let made = unsafe deflateInit2_(
        stream, Z_BEST_SPEED, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY, ZLIB_VERSION, CInt(MemoryLayout<z_stream>.size))
    guard made == Z_OK else { return nil }
    defer { unsafe _ = deflateEnd(stream) }
    // The bound is zlib's promise for the whole in one call.
    let room = unsafe Int(deflateBound(stream, UInt(count)))
    guard let roomCount = UInt32(exactly: room) else { return nil }
    var isWhole = false
    let output = unsafe [UInt8](unsafeUninitializedCapacity: room) { buffer, filled in
        unsafe input.withUnsafeBufferPointer { bytes in
            unsafe stream.pointee.next_in = UnsafeMutablePointer(mutating: bytes.baseAddress)
            unsafe stream.pointee.avail_in = count
            unsafe stream.pointee.next_out = buffer.baseAddress
            unsafe stream.pointee.avail_out = roomCount
            isWhole = unsafe deflate(stream, Z_FINISH) == Z_STREAM_END
            filled = unsafe room - Int(stream.pointee.avail_out)
        }
    }
    return isWhole ? output : nil
}
