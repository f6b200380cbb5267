/// The bounds of one HTTP/2 session. Sizes are in bytes.
package struct SessionLimits: Sendable {
    /// Streams the peer may have open at once (SETTINGS_MAX_CONCURRENT_STREAMS; WIRE-11). One more is refused with
    /// REFUSED_STREAM.
    package var streamsMax = 5000
    /// What the peer may send on one stream before we have read it (SETTINGS_INITIAL_WINDOW_SIZE).
    package var streamWindowBytes = 256 << 10
    /// The same for the connection; also bounds what paused streams hold in memory.
    package var connectionWindowBytes = 1 << 20
    /// The largest message taken, before and after inflating. A larger one ends its stream RESOURCE_EXHAUSTED.
    package var messageBytesMax = 32 << 20
    /// What the incomplete messages of all streams may hold together. A stream that goes beyond ends
    /// RESOURCE_EXHAUSTED. At least `messageBytesMax` to be of use.
    package var partialBytesMax = 64 << 20
    /// Header names and values of one block, with 32 bytes per field (SETTINGS_MAX_HEADER_LIST_SIZE). A larger request
    /// ends RESOURCE_EXHAUSTED.
    package var headerListBytesMax = 16 << 10
    /// Messages that may wait on one stream; one more is refused (`StreamRefusal.queueFull`).
    package var queuedMessagesMax = 64
    /// Frames are pulled into an output queue until it holds this much; the rest waits in the streams (by reference).
    package var outputBytesMax = 256 << 10
    /// PING and SETTINGS acknowledgements that may wait for a peer that does not read. One more ends the connection.
    package var acknowledgementsMax = 256
    /// RST_STREAM frames of a client: this many at once, and this many per second, before the connection is ended. A
    /// client may rightly end all its streams at once.
    package var resetsBurst = 10_000
    package var resetsPerSecond = 1000

    /// A WINDOW_UPDATE that gives less than this, in bytes, is a crumb: for each of them a response that is stuck may leave
    /// in a frame of its own. Clients give back some hundreds of times as much at once.
    package var crumbBytesMax = 256
    /// Every message sent is worth this many crumbs, because a client may give back small messages one by one, on the
    /// stream and on the connection. Others are noise.
    package var crumbsPerMessage = 4
    /// Crumbs that messages sent may make up for.
    package var crumbCreditMax = 100_000

    /// Frames that oblige us to work and mean nothing (PING, SETTINGS, empty DATA, crumbs): this many at once, and
    /// this many per second. Counted here (`Session.incidents`), enforced by the owner, who has a clock.
    package var noiseBurst = 1000
    package var noisePerSecond = 100

    package static let server = SessionLimits()

    /// Responses of tens of MiB are received: large windows.
    package static let client: SessionLimits = {
        var limits = SessionLimits()
        limits.streamWindowBytes = 16 << 20
        limits.connectionWindowBytes = 64 << 20
        limits.messageBytesMax = 256 << 20
        limits.partialBytesMax = 512 << 20
        return limits
    }()

    package init() {}
}
