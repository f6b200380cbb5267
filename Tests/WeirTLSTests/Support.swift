import Testing
import WeirBase

@testable import WeirTLS

/// The path of a file in `Tests/Fixtures/TLS`, which `make.sh` there makes.
func fixture(_ name: String, _ file: String = #filePath) -> String {
    var parts = file.split(separator: "/", omittingEmptySubsequences: false)
    parts.removeLast(2)
    return parts.joined(separator: "/") + "/Fixtures/TLS/" + name
}

extension TLSServerConfiguration {
    /// Certificate `server`, no client certificates.
    static func plain() -> TLSServerConfiguration {
        TLSServerConfiguration(certificateChain: fixture("server.crt"), privateKey: fixture("server.key"))
    }

    /// The same with client certificates from `ca`.
    static func mutual(allowedSANs: [String] = []) -> TLSServerConfiguration {
        var configuration = TLSServerConfiguration.plain()
        configuration.clientCA = fixture("ca.crt")
        configuration.allowedSANs = allowedSANs
        return configuration
    }
}

extension TLSClientConfiguration {
    /// Trusts `ca`, expects `cp.example.com`.
    static func of(_ certificate: String? = nil) -> TLSClientConfiguration {
        TLSClientConfiguration(
            ca: fixture("ca.crt"), certificateChain: certificate.map { fixture("\($0).crt") },
            privateKey: certificate.map { fixture("\($0).key") }, serverName: "cp.example.com")
    }
}

/// One end of a joined pair, with what it got to see.
final class End {
    let session: TLSSession
    var plaintext: [UInt8] = []
    var error: TLSError?

    init(_ session: TLSSession) { self.session = session }

    func receive(_ bytes: [UInt8]) {
        guard self.error == nil else { return }
        do throws(TLSError) {
            try self.session.receive(bytes.span)
            try self.session.readPlaintext { span in
                self.plaintext += span.array(ByteRange(offset: 0, count: span.count))
            }
        } catch {
            self.error = error
        }
    }

    func take(_ count: Int) -> [UInt8] {
        var taken: [UInt8] = []
        self.session.takeCiphertext(upTo: count) { span in
            taken = span.array(ByteRange(offset: 0, count: span.count))
            return span.count
        }
        return taken
    }
}

/// A client and a server joined by byte arrays.
struct Joined {
    let client: End
    let server: End

    init(client: End, server: End) {
        self.client = client
        self.server = server
    }

    init(_ server: TLSServerConfiguration, _ client: TLSClientConfiguration, dialled: String? = nil) throws {
        let serverContext = try TLSContext.server(server)
        let clientContext = try TLSContext.client(client)
        self.server = End(try TLSSession(context: serverContext, role: .server))
        self.client = End(try TLSSession(client: clientContext, serverName: dialled))
    }

    /// Carries bytes both ways until none are left; pieces are cut as `cut` says.
    func pump(cut: () -> Int = { .max }) {
        while self.client.session.pendingCiphertext + self.server.session.pendingCiphertext > 0 {
            let up = self.client.take(cut())
            if !up.isEmpty { self.server.receive(up) }
            let down = self.server.take(cut())
            if !down.isEmpty { self.client.receive(down) }
        }
    }

    var isDone: Bool {
        self.client.session.handshakeState == .done && self.server.session.handshakeState == .done
            && self.client.error == nil && self.server.error == nil
    }
}
