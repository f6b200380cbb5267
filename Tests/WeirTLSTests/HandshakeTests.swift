import COpenSSL
import Testing
import WeirBase

@testable import WeirTLS

@Suite("Handshakes")
struct HandshakeTests {
    @Test("both sides prove who they are, and speak HTTP/2 over TLS 1.3")
    func mutual() throws {
        let joined = try Joined(.mutual(allowedSANs: ["spiffe://prod/ns/*/sa/envoy"]), .of("envoy"))
        joined.pump()
        #expect(joined.isDone)
        #expect(
            joined.server.session.peerIdentity
                == PeerIdentity(
                    uriSANs: ["spiffe://prod/ns/web/sa/envoy"], dnsSANs: ["envoy.web.example.com"],
                    subject: "CN=envoy,O=weir test"))
        #expect(joined.client.session.peerIdentity?.dnsSANs == ["cp.example.com", "localhost"])
        #expect(joined.client.session.negotiatedProtocol == "h2")
        #expect(joined.server.session.negotiatedProtocol == "h2")
        #expect(joined.server.session.negotiatedVersion == "TLSv1.3")
    }

    @Test("without client_ca a client needs no certificate, and has no identity")
    func serverOnly() throws {
        let joined = try Joined(.plain(), .of())
        joined.pump()
        #expect(joined.isDone)
        #expect(joined.server.session.peerIdentity == nil)
    }

    @Test("a client of another CA is refused, and both sides say why")
    func wrongClientCA() throws {
        let joined = try Joined(.mutual(), .of("stranger"))
        joined.pump()
        #expect(joined.server.error?.kind == .handshake)
        #expect(
            joined.server.error?.description.contains(
                "certificate verify failed: unable to get local issuer certificate") == true,
            "\(joined.server.error?.description ?? "")")
        #expect(joined.server.error?.description.contains("CN=stranger") == true)
        #expect(
            joined.client.error?.description == "the peer refused with alert \"unknown ca\"",
            "\(joined.client.error?.description ?? "")")
    }

    @Test("a server of another CA is refused, and both sides say why")
    func wrongServerCA() throws {
        var client = TLSClientConfiguration.of()
        client.ca = fixture("other-ca.crt")
        let joined = try Joined(.plain(), client)
        joined.pump()
        #expect(
            joined.client.error?.description.contains(
                "certificate verify failed: unable to get local issuer certificate") == true)
        #expect(joined.server.error?.description == "the peer refused with alert \"unknown ca\"")
    }

    @Test("a client that shows no certificate where one is required is refused")
    func noClientCertificate() throws {
        let joined = try Joined(.mutual(), .of())
        joined.pump()
        #expect(joined.server.error?.description == "the client shows no certificate")
        #expect(joined.client.error?.description.contains("certificate required") == true)
    }

    @Test("a client whose names are not allowed is refused, and the error lists them")
    func sanNotAllowed() throws {
        let joined = try Joined(.mutual(allowedSANs: ["spiffe://prod/ns/*/sa/admin", "*.example.com"]), .of("envoy"))
        joined.pump()
        let text = joined.server.error?.description ?? ""
        #expect(joined.server.error?.kind == .handshake)
        #expect(text.contains("URI:spiffe://prod/ns/web/sa/envoy, DNS:envoy.web.example.com"), "\(text)")
        #expect(joined.client.error != nil)
        let nameless = try Joined(.mutual(allowedSANs: ["**"]), .of("nameless"))
        nameless.pump()
        #expect(nameless.server.error?.description.contains("no URI or DNS name (subject CN=nameless") == true)
    }

    @Test("an expired certificate is refused by that word")
    func expired() throws {
        var server = TLSServerConfiguration.plain()
        server.certificateChain = fixture("expired.crt")
        server.privateKey = fixture("expired.key")
        let joined = try Joined(server, .of())
        joined.pump()
        #expect(joined.client.error?.description.contains("certificate has expired") == true)
    }

    @Test(
        "the server's certificate must be for the name that is configured or dialled",
        arguments: [
            (nil, "cp.example.com", true), (nil, "localhost", true), (nil, "127.0.0.1", true),
            (nil, "cp2.example.com", false), (nil, "127.0.0.2", false), ("cp.example.com", "127.0.0.9", true),
            ("other.example.com", "cp.example.com", false),
        ] as [(String?, String, Bool)])
    func serverName(configured: String?, dialled: String, isGood: Bool) throws {
        var client = TLSClientConfiguration.of()
        client.serverName = configured
        let joined = try Joined(.plain(), client, dialled: dialled)
        joined.pump()
        #expect(joined.isDone == isGood)
        if !isGood {
            #expect(joined.client.error?.description.contains("mismatch; it has DNS:cp.example.com") == true)
        }
    }

    @Test("a server may be known by a SPIFFE id instead of a host name", arguments: [("web", true), ("db", false)])
    func spiffeServer(namespace: String, isGood: Bool) throws {
        var server = TLSServerConfiguration.plain()
        server.certificateChain = fixture("envoy.crt")
        server.privateKey = fixture("envoy.key")
        var client = TLSClientConfiguration.of()
        client.serverName = "spiffe://prod/ns/\(namespace)/sa/envoy"
        let joined = try Joined(server, client)
        joined.pump()
        #expect(joined.isDone == isGood)
    }

    @Test("TLS 1.2 is spoken unless 1.3 is the minimum; 1.1 is not", arguments: TLSVersion.allCases)
    func versions(minimum: TLSVersion) throws {
        for (offered, accepted) in [
            (TLS1_1_VERSION, false), (TLS1_2_VERSION, minimum == .v1_2), (TLS1_3_VERSION, true),
        ] {
            var configuration = TLSServerConfiguration.mutual()
            configuration.minimumVersion = minimum
            let joined = try Joined(configuration, .of("envoy"))
            let context = try TLSContext.client(.of("envoy"))
            unsafe SSL_CTX_ctrl(context.raw, SSL_CTRL_SET_MIN_PROTO_VERSION, Int(TLS1_1_VERSION), nil)
            unsafe SSL_CTX_ctrl(context.raw, SSL_CTRL_SET_MAX_PROTO_VERSION, Int(offered), nil)
            unsafe SSL_CTX_set_security_level(context.raw, 0)
            guard let session = try? TLSSession(context: context, role: .client) else {
                #expect(!accepted)
                continue
            }
            let pair = Joined(client: End(session), server: joined.server)
            pair.pump()
            #expect(pair.isDone == accepted, "\(offered)")
            // The log says what to do about it.
            let advice = "tls_maximum_protocol_version: TLSv1_3"
            if !accepted { #expect(pair.server.error?.description.contains(advice) == true) }
        }
    }

    @Test(
        "a client whose ALPN lacks h2 is refused; one without ALPN is not",
        arguments: [(["http/1.1"], false), (["http/1.1", "h2"], true), (["h22", "h"], false), ([], true)])
    func alpn(offered: [String], accepted: Bool) throws {
        let joined = try Joined(.plain(), .of())
        let context = try TLSContext.client(.of())
        let list = offered.flatMap { [UInt8(truncatingIfNeeded: $0.utf8.count)] + Array($0.utf8) }
        _ = unsafe SSL_CTX_set_alpn_protos(context.raw, list, UInt32(list.count))
        let pair = Joined(client: End(try TLSSession(context: context, role: .client)), server: joined.server)
        pair.pump()
        #expect(pair.isDone == accepted)
        if accepted {
            #expect(pair.server.session.negotiatedProtocol == (offered.isEmpty ? nil : "h2"))
        } else {
            #expect(pair.server.error?.description == "the client offers no HTTP/2: its ALPN lacks \"h2\"")
            #expect(pair.client.error?.description.contains("no application protocol") == true)
        }
    }

    @Test("with client certificates no ticket is given, so that every connection shows its certificate")
    func noTickets() throws {
        for (configuration, isGiven) in [(TLSServerConfiguration.plain(), true), (.mutual(), false)] {
            let joined = try Joined(configuration, .of("envoy"))
            joined.pump()
            try #require(joined.isDone)
            let session = unsafe SSL_get_session(joined.client.session.raw)
            #expect((unsafe SSL_SESSION_has_ticket(session) == 1) == isGiven)
        }
    }
}
