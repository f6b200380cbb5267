import Testing
import WeirXDS
import XDSClient

@Suite("What a client can be made of")
struct ConfigurationTests {
    private func failure(_ configuration: XDSClient.Configuration) -> String? {
        do throws(XDSClientError) {
            try XDSClient(configuration) { _ in }.close()
            return nil
        } catch {
            return error.description
        }
    }

    @Test("a server that is no address is refused, and the message says what would be one")
    func servers() {
        let node = Node(id: "a")
        #expect(self.failure(XDSClient.Configuration(servers: [], node: node))?.contains("servers") == true)
        let text = self.failure(XDSClient.Configuration(servers: ["localhost"], node: node))
        #expect(text?.contains("host:port") == true)
        #expect(self.failure(XDSClient.Configuration(servers: ["127.0.0.1:1"], node: node)) == nil)
    }

    @Test("times beyond a day or below zero, and half a certificate, are refused")
    func ranges() {
        var configuration = XDSClient.Configuration(servers: ["127.0.0.1:1"], node: Node(id: "a"))
        configuration.maximumBackoff = .seconds(1_000_000)
        #expect(self.failure(configuration)?.hasPrefix("maximumBackoff") == true)
        configuration.maximumBackoff = .seconds(1)
        configuration.keepaliveInterval = .seconds(-1)
        #expect(self.failure(configuration)?.hasPrefix("keepaliveInterval") == true)
        configuration.keepaliveInterval = .zero
        var tls = XDSClient.TLS()
        tls.privateKeyFile = "/nowhere/client.key"
        configuration.tls = tls
        #expect(self.failure(configuration)?.hasPrefix("tls") == true)
    }
}
