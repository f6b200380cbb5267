import CNghttp2
import WeirBase

package enum SessionRole: Sendable {
    case server
    case client
}

/// What the sessions of one loop and one role share: nghttp2's callbacks and options, the limits, and the arrays that
/// events are recorded in. Confined to its loop.
@safe package final class SessionContext {
    package let role: SessionRole
    package let limits: SessionLimits
    let callbacks: OpaquePointer
    let options: OpaquePointer
    /// What the callbacks of the session at work saw. A stack: an activity that begins while another decides on its
    /// records puts its own on top, and takes them off before it ends. Keeps its memory, so that recording allocates
    /// nothing.
    let records = Cell(ContiguousArray<SessionRecord>())
    /// For sessions behind TLS; the others' buffers stay untouched on the heap, too.
    let memory: SessionMemory?

    /// - Parameter isSecure: the sessions are behind TLS, whose handshakes leave a used heap behind.
    package init(role: SessionRole, limits: SessionLimits, isSecure: Bool = false) {
        self.memory = isSecure ? SessionMemory() : nil
        self.role = role
        self.limits = limits
        unsafe self.callbacks = makeCallbacks()
        unsafe self.options = makeOptions(limits)
    }

    deinit {
        unsafe nghttp2_session_callbacks_del(self.callbacks)
        unsafe nghttp2_option_del(self.options)
    }

    /// Takes off the records of an activity, which began at `start`.
    func forgetRecords(from start: Int) {
        let count = self.records.value.count - start
        if count == 1 {
            _ = self.records.value.popLast()
        } else if count > 1 {
            self.records.value.removeLast(count)
        }
        if start == 0, self.records.value.capacity > 4096 { self.records.value = [] }
    }
}

/// What a callback saw; decided upon when nghttp2 has returned.
enum SessionRecord {
    /// A header block is complete.
    case headers(SessionStream, HeaderCollector)
    /// DATA at this range of the bytes being received. By number, as what comes with every push should hold nothing.
    case data(Int32, offset: Int, count: Int)
    case endStream(Int32)
    case closed(SessionStream, HTTP2ErrorCode)
    case drained(Int32)
    case settings
    case goAway(GoAway)
    case pingAcknowledged(UInt64)
}

private func makeOptions(_ limits: SessionLimits) -> OpaquePointer {
    var raw: OpaquePointer?
    unsafe nghttp2_option_new(&raw)
    guard let options = unsafe raw else { preconditionFailure("no memory for nghttp2's options") }
    // Streams are consumed when their bytes are delivered, so a paused stream holds the peer back.
    unsafe nghttp2_option_set_no_auto_window_update(options, 1)
    unsafe nghttp2_option_set_no_closed_streams(options, 1)
    unsafe nghttp2_option_set_max_outbound_ack(options, max(1, limits.acknowledgementsMax))
    unsafe nghttp2_option_set_stream_reset_rate_limit(
        options, UInt64(max(1, limits.resetsBurst)), UInt64(max(1, limits.resetsPerSecond)))
    unsafe nghttp2_option_set_max_send_header_block_length(options, 1 << 20)
    return unsafe options
}
