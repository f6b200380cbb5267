import CNghttp2
package import WeirBase

/// What a peer did that no stream hears of.
package struct SessionIncidents: Hashable, Sendable {
    /// Frames that mean nothing: PING, SETTINGS, empty DATA, windows opened crumb by crumb.
    package var noise = 0
    /// Requests that were refused by their headers alone.
    package var refusedRequests = 0

    package var hasAny: Bool { self.noise | self.refusedRequests != 0 }
}

/// One HTTP/2 connection that carries gRPC calls, as server or client: bytes in, events and output segments out. No
/// socket, no clock. Confined to one thread, as its context.
///
/// Events are delivered to the delegate after nghttp2 has returned, never from its callbacks.
@safe package final class Session {
    package let context: SessionContext
    /// Its owner, which must outlive its activity: it lets the session work, abandons it, and only then lets go of it.
    package unowned let delegate: any SessionDelegate

    /// Allocated by nghttp2, freed in `deinit`.
    let raw: OpaquePointer
    /// What every push touches.
    let state = Cell(SessionState())

    /// Small openings of windows that messages sent make up for.
    private var crumbCredit = 0

    /// The header block that is being received.
    var collector: HeaderCollector?
    var lastError = ""

    /// The peer's SETTINGS have come.
    package internal(set) var isEstablished = false
    /// The peer sent a GOAWAY: existing streams go on, new ones go elsewhere.
    package internal(set) var isDraining = false
    /// Why we ended the session with a GOAWAY, if for an error.
    package internal(set) var violation: String?

    package init(context: SessionContext, delegate: any SessionDelegate) {
        self.context = context
        self.delegate = delegate
        var raw: OpaquePointer?
        let code: CInt
        switch context.role {
        case .server:
            if let memory = context.memory {
                var functions = unsafe memory.functions
                code = unsafe nghttp2_session_server_new3(&raw, context.callbacks, nil, context.options, &functions)
            } else {
                code = unsafe nghttp2_session_server_new2(&raw, context.callbacks, nil, context.options)
            }
        case .client: code = unsafe nghttp2_session_client_new2(&raw, context.callbacks, nil, context.options)
        }
        guard code == 0, let raw = unsafe raw else { preconditionFailure("no memory for an HTTP/2 session") }
        unsafe self.raw = raw
        unsafe nghttp2_session_set_user_data(raw, Unmanaged.passUnretained(self).toOpaque())
        self.submitSettings()
    }

    deinit { unsafe nghttp2_session_del(self.raw) }

    private func submitSettings() {
        let limits = self.context.limits
        var settings = [
            nghttp2_settings_entry(
                settings_id: CInt(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE.rawValue),
                value: UInt32(clamping: min(limits.streamWindowBytes, Int(Int32.max)))),
            nghttp2_settings_entry(
                settings_id: CInt(NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE.rawValue),
                value: UInt32(clamping: limits.headerListBytesMax)),
        ]
        switch self.context.role {
        case .server:
            settings.append(
                nghttp2_settings_entry(
                    settings_id: CInt(NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS.rawValue),
                    value: UInt32(clamping: limits.streamsMax)))
            // RFC 9218: without the tree of RFC 7540 streams cost less.
            settings.append(
                nghttp2_settings_entry(
                    settings_id: CInt(NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES.rawValue), value: 1))
        case .client:
            settings.append(
                nghttp2_settings_entry(settings_id: CInt(NGHTTP2_SETTINGS_ENABLE_PUSH.rawValue), value: 0))
        }
        unsafe nghttp2_submit_settings(self.raw, UInt8(NGHTTP2_FLAG_NONE.rawValue), settings, settings.count)
        unsafe nghttp2_session_set_local_window_size(
            self.raw, UInt8(NGHTTP2_FLAG_NONE.rawValue), 0,
            Int32(clamping: max(65_535, limits.connectionWindowBytes)))
    }

    // MARK: State

    var streams: StreamTable {
        @inline(__always) _read { yield self.state.value.streams }
        @inline(__always) _modify { yield &self.state.value.streams }
    }
    /// nghttp2 gave up: it may only be freed.
    var isBroken: Bool { self.state.value.isBroken }
    /// Bytes that incomplete messages of all streams hold.
    var partialBytes: Int {
        get { self.state.value.partialBytes }
        set { self.state.value.partialBytes = newValue }
    }
    /// What the peer did since `takeIncidents` that no stream hears of.
    package internal(set) var incidents: SessionIncidents {
        get { self.state.value.incidents }
        set { self.state.value.incidents = newValue }
    }

    /// Streams that are open or whose end is not delivered yet.
    package var streamCount: Int { self.streams.count }
    package var streamIDs: [Int32] { self.streams.ids }

    /// There are frames to pull. False also when all that waits is held back by the peer's windows.
    package var wantsWrite: Bool {
        unsafe !self.isBroken && nghttp2_session_want_write(self.raw) != 0
    }

    /// Neither side has anything left to say: the connection may be closed once its output is written.
    package var isFinished: Bool {
        unsafe self.isBroken || nghttp2_session_want_read(self.raw) == 0 && !self.wantsWrite
    }

    /// What was received leaves nothing to pull, and the session goes on. For who received: what was said to the session
    /// since is not looked at.
    package var isQuiet: Bool {
        if self.state.value.isUneventful { return true }
        return unsafe !self.isBroken && nghttp2_session_want_write(self.raw) == 0
            && nghttp2_session_want_read(self.raw) != 0
    }

    /// A number of the owner's for a stream, such as a packed slot id; 0 until set.
    package func userData(_ stream: Int32) -> UInt64? { self.streams[stream]?.userData }

    package func setUserData(_ stream: Int32, _ userData: UInt64) { self.streams[stream]?.userData = userData }

    /// Messages queued on a stream that are not wholly handed to the output yet.
    package func pendingMessages(_ stream: Int32) -> Int { self.streams[stream]?.queue.count ?? 0 }

    /// How many streams there are on which messages wait.
    package var waitingStreams: Int { self.state.value.waitingStreams }

    /// Streams on which messages wait, each with the bytes that its queue has given away so far (a number that wraps).
    package func forEachWaiting(_ body: (_ stream: Int32, _ taken: Int) -> Void) { self.streams.forEachWaiting(body) }

    /// Notes where a message to a stream finds what it touches first.
    package func note(in footprint: inout Footprint, stream: Int32) {
        footprint.add(self)
        self.state.note(in: &footprint)
        self.streams[stream]?.note(in: &footprint)
        if let raw = unsafe nghttp2_session_find_stream(self.raw, stream) {
            unsafe footprint.add(UnsafeRawPointer(raw), lines: 4)
        }
        // Of the 46 lines of nghttp2's session those that sending and receiving a DATA frame touch, in version 1.52.
        unsafe footprint.add(UnsafeRawPointer(self.raw), lines: 16)
        unsafe footprint.add(UnsafeRawPointer(self.raw) + 36 * 64, lines: 10)
    }

    package func takeIncidents() -> SessionIncidents {
        defer { self.incidents = SessionIncidents() }
        return self.incidents
    }

    // MARK: Windows

    /// A message was queued, which the peer may give back in small pieces.
    func noteMessageQueued() {
        let limits = self.context.limits
        self.crumbCredit = min(self.crumbCredit + limits.crumbsPerMessage, limits.crumbCreditMax)
    }

    /// The peer opened a window by so many bytes.
    func windowOpened(by bytes: Int) {
        guard bytes < self.context.limits.crumbBytesMax else { return }
        if self.crumbCredit > 0 { self.crumbCredit -= 1 } else { self.incidents.noise += 1 }
    }

    // MARK: Activity

    /// Before nghttp2 is let to work and record events. Returns where they begin, for `endActivity`.
    func beginActivity() -> Int {
        precondition(!self.state.value.isActive, "a session was entered from its own delegate")
        self.state.value.isActive = true
        return self.context.records.value.count
    }

    /// Decides on each of the recorded events.
    func endActivity(from start: Int, _ received: borrowing Span<UInt8>) {
        // More records may come while these are decided upon: those of other sessions that are let to work meanwhile are
        // gone again when they are done.
        var index = start
        while index < self.context.records.value.count {
            let record = self.context.records.value[index]
            index += 1
            if !self.state.value.isAbandoned { self.decide(record, received) }
        }
        self.context.forgetRecords(from: start)
        self.state.value.isActive = false
    }

    /// The connection is gone: every stream ends now. The session takes no more commands.
    package func abandon(_ status: GRPCStatus, _ reason: String) {
        self.state.value.isAbandoned = true
        for id in self.streams.ids {
            guard let stream = self.streams[id] else { continue }
            stream.isClosed = true
            stream.isLocallyDone = true
            self.close(stream, StreamEnd(.connectionLost, status, reason))
        }
    }

    func fatal(_ code: Int) -> HTTP2Error {
        self.state.value.isBroken = true
        switch CInt(truncatingIfNeeded: code) {
        case CInt(NGHTTP2_ERR_BAD_CLIENT_MAGIC.rawValue): return .notHTTP2
        case CInt(NGHTTP2_ERR_FLOODED.rawValue): return .flooded
        default:
            let text = unsafe String(cString: nghttp2_strerror(CInt(truncatingIfNeeded: code)))
            return .failed(self.lastError.isEmpty ? text : "\(text): \(self.lastError)")
        }
    }
}

/// The words of a session that every push touches, in one place (see `Cell`).
@safe struct SessionState {
    var streams = StreamTable()
    // Only while nghttp2 works:
    var receiveBase: UnsafePointer<UInt8>?
    var output: Unmanaged<OutputQueue>?
    var isActive = false
    /// The bytes received last were a message of a stream and no more, which obliges nghttp2 to nothing: to ask it would
    /// take as long as to hand it the message. But windows are given back some time.
    var isUneventful = false
    /// Bytes received since nghttp2 was asked.
    var unaskedBytes = 0

    /// Those whose queue is not empty.
    var waitingStreams = 0

    var isAbandoned = false
    var isBroken = false
    var partialBytes = 0
    var incidents = SessionIncidents()
}
