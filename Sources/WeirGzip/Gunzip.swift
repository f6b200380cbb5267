import CZlib

/// Why a compressed message was not inflated.
package enum GunzipError: Error, Equatable {
    case tooLarge
    case malformed
    case outOfMemory
}

/// Inflates one gzip member into at most `bytesMax` bytes.
///
/// The bound holds while inflating, so a bomb costs at most that much memory and time.
package func gunzip(_ input: borrowing Span<UInt8>, bytesMax: Int) throws(GunzipError) -> [UInt8] {
    // zlib remembers the address of its stream: allocated, never moved.
    let stream = UnsafeMutablePointer<z_stream>.allocate(capacity: 1)
    unsafe stream.initialize(to: z_stream())
    defer {
        unsafe stream.deinitialize(count: 1)
        unsafe stream.deallocate()
    }
    // 15 bits of window + 16: a gzip header is required.
    guard unsafe inflateInit2_(stream, 31, ZLIB_VERSION, CInt(MemoryLayout<z_stream>.size)) == Z_OK else {
        throw .outOfMemory
    }
    defer { unsafe _ = inflateEnd(stream) }
    return try unsafe inflateAll(stream, input, bytesMax: bytesMax)
}

private func inflateAll(
    _ stream: UnsafeMutablePointer<z_stream>, _ input: borrowing Span<UInt8>, bytesMax: Int
) throws(GunzipError) -> [UInt8] {
    let chunkCount = 16_384
    let chunk = UnsafeMutablePointer<UInt8>.allocate(capacity: chunkCount)
    defer { unsafe chunk.deallocate() }
    var output: [UInt8] = []
    let result: GunzipError? = unsafe input.withUnsafeBufferPointer { bytes in
        unsafe stream.pointee.next_in = UnsafeMutablePointer(mutating: bytes.baseAddress)
        unsafe stream.pointee.avail_in = UInt32(clamping: bytes.count)
        while true {
            unsafe stream.pointee.next_out = chunk
            unsafe stream.pointee.avail_out = UInt32(chunkCount)
            let code = unsafe inflate(stream, Z_NO_FLUSH)
            let made = unsafe chunkCount - Int(stream.pointee.avail_out)
            if made > bytesMax - output.count { return .tooLarge }
            unsafe output.append(contentsOf: UnsafeBufferPointer(start: chunk, count: made))
            if code == Z_STREAM_END { return unsafe stream.pointee.avail_in == 0 ? nil : .malformed }
            // No progress (Z_BUF_ERROR) means that the input ends too early.
            if code != Z_OK { return code == Z_MEM_ERROR ? .outOfMemory : .malformed }
        }
    }
    if let result { throw result }
    return output
}
