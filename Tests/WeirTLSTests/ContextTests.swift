import Testing
import WeirBase

@testable import WeirTLS

@Suite("Contexts")
struct ContextTests {
    @Test(
        "a file that cannot be used is named with the reason",
        arguments: [
            ("missing.crt", "server.key", nil, "certificate chain", "missing.crt: No such file or directory"),
            ("make.sh", "server.key", nil, "certificate chain", "make.sh: no PEM block"),
            ("server.crt", "missing.key", nil, "private key", "missing.key: No such file or directory"),
            ("server.crt", "envoy.key", nil, "private key", "does not belong to the certificate in"),
            ("server.crt", "encrypted.key", nil, "private key", "is encrypted"),
            ("server.crt", "make.sh", nil, "private key", "make.sh: "),
            ("server.crt", "server.key", "missing.crt", "client CA", "missing.crt: No such file or directory"),
            ("server.crt", "server.key", "make.sh", "client CA", "make.sh: "),
        ] as [(String, String, String?, String, String)])
    func badFile(chain: String, key: String, ca: String?, what: String, reason: String) {
        let configuration = TLSServerConfiguration(
            certificateChain: fixture(chain), privateKey: fixture(key), clientCA: ca.map { fixture($0) })
        let error = #expect(throws: TLSError.self) { try TLSContext.server(configuration) }
        #expect(error?.kind == .configuration)
        #expect(error?.description.hasPrefix(what) == true, "\(error?.description ?? "")")
        #expect(error?.description.contains(reason) == true, "\(error?.description ?? "")")
    }

    @Test("settings that make no sense together are refused")
    func combinations() {
        var server = TLSServerConfiguration.plain()
        server.allowedSANs = ["**"]
        #expect(throws: TLSError.self) { try TLSContext.server(server) }
        var client = TLSClientConfiguration.of("envoy")
        client.privateKey = nil
        #expect(throws: TLSError.self) { try TLSContext.client(client) }
        client = .of()
        client.ca = fixture("missing.crt")
        #expect(throws: TLSError.self) { try TLSContext.client(client) }
    }

    @Test("a context knows when its certificate expires")
    func expiry() throws {
        let context = try TLSContext.server(.plain())
        #expect((context.certificateExpiry?.rfc3339 ?? "") > "2100")
        #expect(try TLSContext.client(.of()).certificateExpiry == nil)
    }

    @Test("sessions outlive the reload of their context")
    func reload() throws {
        var context = try TLSContext.server(.plain())
        let old = End(try TLSSession(context: context, role: .server))
        context = try TLSContext.server(.mutual())
        let client = try TLSContext.client(.of())
        let pair = Joined(client: End(try TLSSession(context: client, role: .client)), server: old)
        pair.pump()
        #expect(pair.isDone)
        let strict = End(try TLSSession(context: context, role: .server))
        let refused = Joined(client: End(try TLSSession(context: client, role: .client)), server: strict)
        refused.pump()
        #expect(!refused.isDone)
    }
}
