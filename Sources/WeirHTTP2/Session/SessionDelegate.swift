/// Told what happens in a session, after nghttp2 has returned: within `receive`, `pull`, `resume` and `abandon`.
///
/// All commands may be called from here, except `receive` and `pull` of the same session.
package protocol SessionDelegate: AnyObject {
    /// A gRPC request (server). The content type, method and encoding are fine; the path is the delegate's business.
    func session(_ session: Session, opened stream: Int32, _ head: RequestHead)
    /// The response's headers came (client).
    func session(_ session: Session, answered stream: Int32, _ head: ResponseHead)
    /// A whole gRPC message, without prefix, inflated. The span is valid during the call.
    func session(_ session: Session, message stream: Int32, _ bytes: Span<UInt8>)
    /// The client will send no more messages (server).
    func session(_ session: Session, halfClosed stream: Int32)
    /// Everything queued on the stream has been handed to the output.
    func session(_ session: Session, drained stream: Int32)
    /// The stream is over: exactly once for each stream that was `opened` (server) or `open`ed (client).
    func session(_ session: Session, closed stream: Int32, _ end: StreamEnd)
    /// The peer's SETTINGS came; the first time this proves that the peer speaks HTTP/2.
    func sessionSettingsReceived(_ session: Session)
    func session(_ session: Session, received goAway: GoAway)
    func session(_ session: Session, pingAcknowledged data: UInt64)
}
