import COpenSSL
import CWeirShims

/// The two byte queues between OpenSSL and the world, in place of a socket.
///
/// Own storage instead of OpenSSL's memory BIOs, because those never give back what a large burst made them take:
/// with twenty thousand connections that is the memory of the process. An object apart from the session, because
/// OpenSSL calls back into it while a method of the session runs.
final class TLSPipe {
    private var incoming: [UInt8] = []
    private var incomingRead = 0
    private var outgoing: [UInt8] = []
    private var outgoingTaken = 0

    /// Storage up to this size is kept by an idle connection.
    private static let storageKept = 512

    var incomingCount: Int { self.incoming.count - self.incomingRead }
    var outgoingCount: Int { self.outgoing.count - self.outgoingTaken }

    /// From the network, for OpenSSL.
    func receive(_ bytes: Span<UInt8>) {
        unsafe bytes.withUnsafeBufferPointer { unsafe self.incoming.append(contentsOf: $0) }
    }

    /// So that a large write grows the queue once.
    func reserve(_ count: Int) { self.outgoing.reserveCapacity(self.outgoing.count + count) }

    /// For the network; `sink` says how many bytes it took.
    func take(upTo count: Int, _ sink: (Span<UInt8>) -> Int) {
        let available = min(count, self.outgoingCount)
        guard available > 0 else { return }
        let start = self.outgoingTaken
        let queue = self.outgoing
        let taken = sink(queue.span.extracting(start..<start + available))
        precondition(taken >= 0 && taken <= available, "the sink took what it was not given")
        self.outgoingTaken += taken
    }

    /// After `take`: lets go of what was taken.
    func trim() {
        guard self.outgoingTaken == self.outgoing.count else {
            // A queue that never runs empty must not keep all that ever went through it.
            guard self.outgoingTaken > self.outgoingCount else { return }
            self.outgoing.removeFirst(self.outgoingTaken)
            self.outgoingTaken = 0
            return
        }
        self.outgoing.removeAll(keepingCapacity: self.outgoing.capacity <= Self.storageKept)
        self.outgoingTaken = 0
    }

    fileprivate func read(into buffer: UnsafeMutableRawBufferPointer) -> Int {
        let count = min(buffer.count, self.incomingCount)
        guard count > 0 else { return 0 }
        let start = self.incomingRead
        unsafe self.incoming.withUnsafeBytes { bytes in
            unsafe buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[start..<start + count]))
        }
        self.incomingRead += count
        if self.incomingRead == self.incoming.count {
            self.incoming.removeAll(keepingCapacity: self.incoming.capacity <= Self.storageKept)
            self.incomingRead = 0
        }
        return count
    }

    fileprivate func write(_ bytes: UnsafeRawBufferPointer) { unsafe self.outgoing.append(contentsOf: bytes) }
}

/// The kind of BIO that reads from and writes to a `TLSPipe`. One per context; outlives the context's sessions.
@safe final class TLSPipeMethod {
    private let raw: OpaquePointer

    init() {
        guard let raw = unsafe BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "weir pipe") else {
            preconditionFailure("out of memory")
        }
        unsafe self.raw = raw
        unsafe BIO_meth_set_write(raw, pipeWrite)
        unsafe BIO_meth_set_read(raw, pipeRead)
        unsafe BIO_meth_set_ctrl(raw, pipeControl)
        unsafe BIO_meth_set_create(raw, pipeCreate)
    }

    deinit { unsafe BIO_meth_free(self.raw) }

    /// A BIO that borrows `pipe`: the pipe must live longer.
    func make(_ pipe: TLSPipe) -> OpaquePointer? {
        guard let bio = unsafe BIO_new(self.raw) else { return nil }
        unsafe BIO_set_data(bio, Unmanaged.passUnretained(pipe).toOpaque())
        return unsafe bio
    }
}

@c(weir_tls_pipe_create)
func pipeCreate(_ bio: OpaquePointer?) -> CInt {
    unsafe BIO_set_init(bio, 1)
    return 1
}

@c(weir_tls_pipe_read)
func pipeRead(_ bio: OpaquePointer?, _ buffer: UnsafeMutablePointer<CChar>?, _ count: CInt) -> CInt {
    guard let context = unsafe BIO_get_data(bio), count > 0 else { return -1 }
    unsafe weir_bio_clear_retry(bio)
    let pipe = unsafe Unmanaged<TLSPipe>.fromOpaque(context).takeUnretainedValue()
    let read = unsafe pipe.read(into: UnsafeMutableRawBufferPointer(start: buffer, count: Int(count)))
    if read > 0 { return CInt(read) }
    unsafe weir_bio_set_retry_read(bio)  // nothing yet, as opposed to the end
    return -1
}

@c(weir_tls_pipe_write)
func pipeWrite(_ bio: OpaquePointer?, _ bytes: UnsafePointer<CChar>?, _ count: CInt) -> CInt {
    guard let context = unsafe BIO_get_data(bio), count > 0 else { return 0 }
    unsafe weir_bio_clear_retry(bio)
    let pipe = unsafe Unmanaged<TLSPipe>.fromOpaque(context).takeUnretainedValue()
    unsafe pipe.write(UnsafeRawBufferPointer(start: bytes, count: Int(count)))
    return count
}

@c(weir_tls_pipe_control)
func pipeControl(_ bio: OpaquePointer?, _ command: CInt, _ number: CLong, _ pointer: UnsafeMutableRawPointer?)
    -> CLong
{
    command == BIO_CTRL_FLUSH ? 1 : 0
}
