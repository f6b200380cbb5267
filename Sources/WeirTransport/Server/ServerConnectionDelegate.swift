package import WeirHTTP2

/// Told what happens on the connections of a listener, on the loop's thread. All commands of the connection may be
/// called from here.
package protocol ServerConnectionDelegate: AnyObject {
    /// TLS is done (see `peerIdentity`), and the peer speaks HTTP/2.
    func connectionOpened(_ connection: ServerConnection)
    /// A gRPC request; whether the path is served is the delegate's business.
    func streamOpened(_ connection: ServerConnection, _ stream: Int32, _ request: RequestHead)
    /// A whole message. `userData` is the stream's; 0 until set. The span is valid during the call.
    func message(_ connection: ServerConnection, _ stream: Int32, _ userData: UInt64, _ bytes: Span<UInt8>)
    /// The client will send no more; to be answered with `finish` some time.
    func streamHalfClosed(_ connection: ServerConnection, _ stream: Int32)
    /// Exactly once for each `streamOpened`, however it ends.
    func streamClosed(_ connection: ServerConnection, _ stream: Int32, _ end: StreamEnd)
    /// Everything queued on the stream is on its way into the socket.
    func drained(_ connection: ServerConnection, _ stream: Int32, _ userData: UInt64)
    /// Once for each `connectionOpened`, after the end of all its streams.
    func connectionClosed(_ connection: ServerConnection, _ end: ConnectionEnd)
}
