import CNghttp2
import Glibc

/// Where nghttp2 takes its memory: the C library's heap, but for the frame buffer of each session.
///
/// That buffer has 16 KiB, of which weir, which never copies messages into it, uses some hundred bytes. On the heap it
/// comes to lie where the TLS handshakes of others have just been, so that all its pages are resident: 12 KiB for each
/// connection. Here it lies in pages of its own, which the kernel does not back until they are touched.
///
/// Confined to the loop of its context, which outlives the sessions.
@safe final class SessionMemory {
    /// What the buffers take: whole pages.
    private static let blockBytes = 20 << 10
    /// Requests above this and up to `blockBytes` are frame buffers.
    private static let frameBytesMin = 16 << 10
    /// Address space, not memory: for 52,000 sessions. What is beyond comes from the heap.
    private static let regionBytes = 1 << 30

    private let region: UnsafeMutableRawPointer?
    private var used = 0
    private var free: [UnsafeMutableRawPointer] = unsafe []

    init() {
        let flags = CInt(MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE)
        let region = unsafe mmap(nil, Self.regionBytes, CInt(PROT_READ | PROT_WRITE), flags, -1, 0)
        unsafe self.region = region == MAP_FAILED ? nil : region
    }

    deinit {
        if let region = unsafe self.region { unsafe _ = munmap(region, Self.regionBytes) }
    }

    /// The functions for nghttp2; they refer to this object without keeping it.
    var functions: nghttp2_mem {
        unsafe nghttp2_mem(
            mem_user_data: Unmanaged.passUnretained(self).toOpaque(), malloc: sessionAllocate, free: sessionFree,
            calloc: sessionAllocateCleared, realloc: sessionReallocate)
    }

    fileprivate func allocate(_ count: Int) -> UnsafeMutableRawPointer? {
        guard count > Self.frameBytesMin, count <= Self.blockBytes else { return unsafe malloc(count) }
        if let block = unsafe self.free.popLast() { return unsafe block }
        guard let region = unsafe self.region, self.used + Self.blockBytes <= Self.regionBytes else {
            return unsafe malloc(count)
        }
        defer { self.used += Self.blockBytes }
        return unsafe region + self.used
    }

    fileprivate func release(_ pointer: UnsafeMutableRawPointer) {
        if unsafe self.isBlock(pointer) { unsafe self.free.append(pointer) } else { unsafe Glibc.free(pointer) }
    }

    fileprivate func reallocate(_ pointer: UnsafeMutableRawPointer?, _ count: Int) -> UnsafeMutableRawPointer? {
        guard let pointer = unsafe pointer else { return unsafe self.allocate(count) }
        guard unsafe self.isBlock(pointer) else { return unsafe realloc(pointer, count) }
        if count <= Self.blockBytes { return unsafe pointer }
        guard let larger = unsafe malloc(count) else { return nil }
        unsafe larger.copyMemory(from: pointer, byteCount: Self.blockBytes)
        unsafe self.release(pointer)
        return unsafe larger
    }

    private func isBlock(_ pointer: UnsafeMutableRawPointer) -> Bool {
        guard let region = unsafe self.region else { return false }
        return unsafe pointer >= region && pointer < region + Self.regionBytes
    }
}

private func memory(_ context: UnsafeMutableRawPointer?) -> SessionMemory {
    guard let context = unsafe context else { preconditionFailure("nghttp2 lost our memory") }
    return unsafe Unmanaged<SessionMemory>.fromOpaque(context).takeUnretainedValue()
}

@c(weir_http2_allocate)
func sessionAllocate(_ count: Int, _ context: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    unsafe memory(context).allocate(count)
}

@c(weir_http2_allocate_cleared)
func sessionAllocateCleared(
    _ number: Int, _ size: Int, _ context: UnsafeMutableRawPointer?
) -> UnsafeMutableRawPointer? {
    // Never a frame buffer; the C library checks the product.
    unsafe calloc(number, size)
}

@c(weir_http2_reallocate)
func sessionReallocate(
    _ pointer: UnsafeMutableRawPointer?, _ count: Int, _ context: UnsafeMutableRawPointer?
) -> UnsafeMutableRawPointer? {
    unsafe memory(context).reallocate(pointer, count)
}

@c(weir_http2_free)
func sessionFree(_ pointer: UnsafeMutableRawPointer?, _ context: UnsafeMutableRawPointer?) {
    if let pointer = unsafe pointer { unsafe memory(context).release(pointer) }
}
