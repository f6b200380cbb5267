import CMicrohttpd
import Glibc
import Synchronization

/// What the server shows its clients, both as PEM.
package struct HTTPServerTLS: Hashable, Sendable {
    package var chain: String
    package var key: String

    package init(chain: String, key: String) {
        self.chain = chain
        self.key = key
    }
}

/// A small HTTP/1.1 server, on a thread of libmicrohttpd's.
///
/// The handler runs on that thread, so it should hand longer work to another thread and let that one answer. The thread
/// is started with the signal mask of the caller: block what another thread is to receive.
@safe package final class HTTPServer: Sendable {
    /// The port in use, also where port 0 was asked for.
    package let port: UInt16

    private let endpoint: Endpoint
    /// Nil once stopped.
    private let daemon: Mutex<OpaquePointer?>

    /// Listens and serves.
    ///
    /// - Parameters:
    ///   - address: an IP address and a port, as in `127.0.0.1:9901` or `[::1]:0`; port 0 takes any free one.
    ///   - tls: certificate chain and key as PEM; nil: plaintext.
    ///   - handler: called once per request.
    package init(
        address: String, tls: HTTPServerTLS? = nil, options: HTTPServerOptions = HTTPServerOptions(),
        handler: @escaping @Sendable (HTTPRequest, HTTPResponder) -> Void
    ) throws(HTTPServerError) {
        let listener = try ListeningSocket(address: address)
        let endpoint = Endpoint(options: options, handler: handler)
        // Unretained: `stop`, which also runs at the end of this object's life, outlasts the daemon.
        if tls != nil, weir_mhd_has_tls() == 0 { throw .cannotUseTLS(address: address) }
        let context = unsafe Unmanaged.passUnretained(endpoint).toOpaque()
        let started: OpaquePointer?
        if let tls {
            unsafe started = weir_mhd_start_tls(
                listener.descriptor, options.connectionsMax, HTTPServerLimits.idleSecondsMax, http1Access,
                http1Completed, context, tls.key, tls.chain)
        } else {
            unsafe started = weir_mhd_start(
                listener.descriptor, options.connectionsMax, HTTPServerLimits.idleSecondsMax, http1Access,
                http1Completed, context)
        }
        guard let daemon = unsafe started else {
            if tls != nil { throw .cannotUseTLS(address: address) }
            // Whether the library has closed the descriptor depends on where it failed; closing a number that may be
            // someone else's by now would be worse than losing one.
            throw .cannotStart(address: address)
        }
        self.port = listener.port
        self.endpoint = endpoint
        unsafe self.daemon = Mutex(daemon)
    }

    deinit { self.stop() }

    /// Closes the port and every connection; requests that wait for an answer get 503 if their client still listens.
    /// Returns when the thread has ended. Idempotent. Not from within the handler, whose end it waits for.
    package func stop() {
        let daemon = unsafe self.daemon.withLock { daemon in
            let taken = unsafe daemon
            unsafe daemon = nil
            return unsafe taken
        }
        guard let daemon = unsafe daemon else { return }
        self.endpoint.desk.stop()
        for _ in 0..<HTTPServerLimits.streamEndMilliseconds / 5 where self.endpoint.desk.isStreaming { usleep(5_000) }
        unsafe MHD_stop_daemon(daemon)
    }
}
