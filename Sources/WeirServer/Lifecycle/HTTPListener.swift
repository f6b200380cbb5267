import WeirConfig
import WeirHTTP1
import WeirLoop
import WeirTLS

/// An HTTP server on an address of the configuration, whose certificate may be replaced while it runs. Any thread.
final class HTTPListener: Sendable {
    private struct Running: Sendable {
        var server: HTTPServer?
        var tls: HTTPServerTLS?
    }

    /// What it is in the configuration, as in `admin`.
    private let field: String
    private let address: EndpointAddress
    private let options: HTTPServerOptions
    private let certificates: CertificateBoard
    private let running = Locked(Running())

    init(_ field: String, _ address: EndpointAddress, _ options: HTTPServerOptions, _ certificates: CertificateBoard) {
        self.field = field
        self.address = address
        self.options = options
        self.certificates = certificates
    }

    func start(
        _ files: AdminTLSConfiguration?, handler: @escaping @Sendable (HTTPRequest, HTTPResponder) -> Void
    ) throws(StartError) {
        try self.start(files, try files.map { files throws(StartError) in try self.read(files) }, handler)
    }

    private func start(
        _ files: AdminTLSConfiguration?, _ tls: HTTPServerTLS?,
        _ handler: @escaping @Sendable (HTTPRequest, HTTPResponder) -> Void
    ) throws(StartError) {
        do throws(HTTPServerError) {
            let server = try HTTPServer(
                address: self.address.description, tls: tls, options: self.options, handler: handler)
            let expiry = tls.flatMap { certificateExpiry(pem: Array($0.chain.utf8)) }
            self.certificates.set(.admin, files?.certificateChain, expiry)
            self.running.withLock { $0 = Running(server: server, tls: tls) }
        } catch {
            throw StartError("\(self.field): \(error)")
        }
    }

    private func read(_ files: AdminTLSConfiguration) throws(StartError) -> HTTPServerTLS {
        let texts = [files.certificateChain, files.privateKey].map { path in
            ProcessReader.readBytes(path).map { String(decoding: $0, as: UTF8.self) }
        }
        guard let chain = texts[0], let key = texts[1] else {
            throw StartError("\(self.field).tls: cannot read \(files.certificateChain) or \(files.privateKey)")
        }
        return HTTPServerTLS(chain: chain, key: key)
    }

    /// Takes over the TLS files' content where that has changed: then the server starts again, on the address that it has,
    /// and its open connections close. Files that are of no use change nothing.
    func reload(
        _ files: AdminTLSConfiguration?, handler: @escaping @Sendable (HTTPRequest, HTTPResponder) -> Void
    ) throws(StartError) {
        guard let old = self.running.withLock({ $0.tls }), let files else { return }
        let new = try self.read(files)
        guard new != old else { return }
        self.stop()
        do throws(StartError) {
            try self.start(files, new, handler)
        } catch {
            try self.start(files, old, handler)
            throw error
        }
    }

    func stop() {
        let server = self.running.withLock { $0.server.take() }
        server?.stop()
    }
}
