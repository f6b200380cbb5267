import Testing

@testable import WeirProtobuf

/// SVC-03: what the API marks as sensitive never leaves by the debug endpoint.
@Suite struct RedactionTests {
    private static let prefix = "type.googleapis.com/"
    private static let tls = prefix + "envoy.extensions.transport_sockets.tls.v3."
    private static let secret = tls + "Secret"
    private static let wrapper = prefix + "envoy.service.discovery.v3.Resource"
    private static let leak = "VERY-PRIVATE"
    /// The same in base64, as bytes fields are written.
    private static let leakBase64 = "VkVSWS1QUklWQVRF"

    private func redacted(_ json: String, _ typeURL: String) throws -> String {
        let set = try Descriptors.load()
        return try set.json(typeURL: typeURL, bytes: set.encode(json: json, typeURL: typeURL), redacting: true)
    }

    @Test(
        "SVC-03 every kind of secret is replaced",
        arguments: [
            #""session_ticket_keys":{"keys":[{"inline_bytes":"VkVSWS1QUklWQVRF"},{"inline_string":"VERY-PRIVATE"}]}"#,
            #""generic_secret":{"secret":{"inline_string":"VERY-PRIVATE"}}"#,
            #""generic_secret":{"secrets":{"user":{"inline_string":"VERY-PRIVATE"},"#
                + #""b":{"inline_bytes":"VkVSWS1QUklWQVRF"}}}"#,
            #""tls_certificate":{"pkcs12":{"inline_bytes":"VkVSWS1QUklWQVRF"}}"#,
            #""tls_certificate":{"private_key_provider":{"provider_name":"p","typed_config":{"#
                + #""@type":"type.googleapis.com/google.protobuf.StringValue","value":"VERY-PRIVATE"}}}"#,
            #""tls_certificate":{"private_key_provider":{"provider_name":"p","typed_config":{"#
                + #""@type":"type.googleapis.com/google.protobuf.Struct","value":{"a":{"b":["VERY-PRIVATE"]}}}}}"#,
        ])
    func kinds(content: String) throws {
        let text = try self.redacted(#"{"name":"kept",\#(content)}"#, Self.secret)
        #expect(text.contains("\"kept\""))
        #expect(!text.contains(Self.leak) && !text.contains(Self.leakBase64))
    }

    @Test(
        "SVC-03 secrets are replaced also where the descriptors carry no mark",
        arguments: [
            #""tls_certificate":{"private_key":{"inline_string":"VERY-PRIVATE"}}"#,
            #""tls_certificate":{"password":{"inline_string":"VERY-PRIVATE"}}"#,
            #""tls_certificate":{"pkcs12":{"inline_bytes":"VkVSWS1QUklWQVRF"}}"#,
            #""tls_certificate":{"private_key_provider":{"provider_name":"p","typed_config":{"#
                + #""@type":"type.googleapis.com/google.protobuf.StringValue","value":"VERY-PRIVATE"}}}"#,
            #""session_ticket_keys":{"keys":[{"inline_string":"VERY-PRIVATE"}]}"#,
            #""generic_secret":{"secret":{"inline_string":"VERY-PRIVATE"}}"#,
            #""generic_secret":{"secrets":{"user":{"inline_string":"VERY-PRIVATE"}}}"#,
        ])
    func unmarked(content: String) throws {
        let set = try DescriptorSet(bytes: Self.withoutMarks(try Descriptors.bytes()))
        let bytes = try set.encode(json: #"{"name":"kept",\#(content)}"#, typeURL: Self.secret)
        let text = try set.json(typeURL: Self.secret, bytes: bytes, redacting: true)
        #expect(text.contains("\"kept\""))
        #expect(!text.contains(Self.leak) && !text.contains(Self.leakBase64))
        // The marks are really gone: a field that only they protect is shown.
        let users = Self.prefix + "envoy.extensions.filters.http.basic_auth.v3.BasicAuth"
        let shown = try set.encode(json: #"{"users":{"inline_string":"VERY-PRIVATE"}}"#, typeURL: users)
        #expect(try set.json(typeURL: users, bytes: shown, redacting: true).contains(Self.leak))
        #expect(try !Descriptors.load().json(typeURL: users, bytes: shown, redacting: true).contains(Self.leak))
    }

    @Test(
        "credentials that the API leaves unmarked are replaced",
        arguments: [
            (
                "envoy.config.core.v3.GrpcService.GoogleGrpc",
                #""call_credentials":[{"access_token":"VERY-PRIVATE"},{"google_refresh_token":"VERY-PRIVATE"},"#
                    + #"{"service_account_jwt_access":{"json_key":"VERY-PRIVATE"}},"#
                    + #"{"google_iam":{"authorization_token":"VERY-PRIVATE"}}]"#
            ),
            ("envoy.config.trace.v3.LightstepConfig", #""access_token":{"inline_string":"VERY-PRIVATE"}"#),
            (
                "envoy.extensions.filters.http.aws_lambda.v3.Credentials",
                #""secret_access_key":"VERY-PRIVATE","session_token":"VERY-PRIVATE""#
            ),
            (calls + "access_token.v3.AccessTokenCredentials", #""token":"VERY-PRIVATE""#),
            (calls + "google_iam.v3.GoogleIamCredentials", #""authorization_token":"VERY-PRIVATE""#),
            (calls + "google_refresh_token.v3.GoogleRefreshTokenCredentials", #""token":"VERY-PRIVATE""#),
            (calls + "service_account_jwt_access.v3.ServiceAccountJwtAccessCredentials", #""json_key":"VERY-PRIVATE""#),
        ])
    func unmarkedByTheAPI(type: String, content: String) throws {
        let text = try self.redacted("{\(content)}", Self.prefix + type)
        #expect(text.contains("[redacted]"))
        #expect(!text.contains(Self.leak))
    }

    private static let calls = "envoy.extensions.grpc_service.call_credentials."

    /// The descriptor set with every `udpa.annotations.sensitive` set to false.
    private static func withoutMarks(_ descriptors: [UInt8]) -> [UInt8] {
        var mark: [UInt8] = []
        var rest: UInt32 = 76_569_463 << 3
        while rest > 0x7F {
            mark.append(UInt8(rest & 0x7F) | 0x80)
            rest >>= 7
        }
        mark.append(UInt8(rest))
        var result = descriptors
        for start in descriptors.indices.dropLast(mark.count) where descriptors[start] == mark[0] {
            let end = start + mark.count
            if descriptors[start..<end].elementsEqual(mark) { result[end] = 0 }
        }
        return result
    }

    @Test("SVC-03 AGG-24 the encoding is redacted as the JSON is, and fields that nobody knows are left out")
    func encodings() throws {
        let set = try Descriptors.load()
        let json = #"{"name":"kept","tls_certificate":{"private_key":{"inline_string":"VERY-PRIVATE"}}}"#
        let unknown: [UInt8] = [0xFA, 0x3E, 12] + Array(Self.leak.utf8)
        let bytes = try set.encode(json: json, typeURL: Self.secret) + unknown
        let redacted = try set.redacted(typeURL: Self.secret, bytes: bytes)
        let text = String(decoding: redacted, as: UTF8.self)
        #expect(text.contains("kept") && !text.contains(Self.leak))
        #expect(try set.json(typeURL: Self.secret, bytes: redacted, redacting: false).contains("[redacted]"))
        #expect(throws: ProtobufError.self) { try set.redacted(typeURL: Self.prefix + "no.Such", bytes: []) }
        #expect(throws: ProtobufError.self) { try set.redacted(typeURL: Self.secret, bytes: [0x0A, 0x09]) }
    }

    @Test("the keys of a sensitive map stay, its values go")
    func mapKeys() throws {
        let json =
            #"{"name":"s","generic_secret":{"secrets":{"user":{"inline_string":"VERY-PRIVATE"},"#
            + #""password":{"inline_string":"VERY-PRIVATE"}}}}"#
        let text = try self.redacted(json, Self.secret)
        #expect(text.contains("\"user\"") && text.contains("\"password\""))
        #expect(!text.contains(Self.leak))
    }

    @Test("bytes are replaced by bytes, so that the view is still valid proto-JSON")
    func bytes() throws {
        let set = try Descriptors.load()
        let json = #"{"name":"s","generic_secret":{"secret":{"inline_bytes":"VkVSWS1QUklWQVRF"}}}"#
        let text = try self.redacted(json, Self.secret)
        #expect(text.contains("W3JlZGFjdGVkXQ=="))
        #expect(try !set.encode(json: text, typeURL: Self.secret).isEmpty)
    }

    @Test("numbers below a sensitive field do not appear either")
    func numbers() throws {
        let json =
            #"{"name":"s","tls_certificate":{"private_key_provider":{"provider_name":"p","typed_config":{"#
            + #""@type":"type.googleapis.com/google.protobuf.Struct","value":{"pin":918273}}}}}"#
        #expect(try !self.redacted(json, Self.secret).contains("918273"))
    }

    @Test("an Any below a sensitive field whose type is unknown or whose bytes are broken does not leak them")
    func unreadableAny() throws {
        let set = try Descriptors.load()
        // Broken: a secret's bytes with an unfinished field after them. Unknown: a type nobody has heard of.
        var content = try set.encode(
            json: #"{"name":"s","generic_secret":{"secret":{"inline_string":"VERY-PRIVATE"}}}"#, typeURL: Self.secret)
        content += [0x0A, 0x7F]
        for type in [Self.secret, Self.prefix + "no.Such"] {
            let bytes = Self.resource(type, content)
            let text: String
            do throws(ProtobufError) {
                text = try set.json(typeURL: Self.wrapper, bytes: bytes, redacting: true)
            } catch {
                text = error.description
            }
            #expect(!text.contains(Self.leak) && !text.contains(Self.leakBase64), "\(type)")
        }
    }

    @Test("an Any of an unknown type is an error that names the type")
    func unknownAny() throws {
        let set = try Descriptors.load()
        for redacting in [true, false] {
            do throws(ProtobufError) {
                let text = try set.json(
                    typeURL: Self.wrapper, bytes: Self.resource(Self.prefix + "no.Such", [8, 1]), redacting: redacting)
                Issue.record("no error but \(text)")
            } catch {
                #expect(error.description.contains("no.Such"))
            }
        }
        let json = #"{"name":"s","resource":{"@type":"type.googleapis.com/no.Such","a":1}}"#
        do throws(ProtobufError) {
            _ = try set.encode(json: json, typeURL: Self.wrapper)
            Issue.record("no error")
        } catch {
            #expect(error.description.contains("no.Such"))
        }
    }

    @Test("nesting without end neither crashes nor leaks", arguments: [50, 200, 5_000])
    func deepNesting(depth: Int) throws {
        let set = try Descriptors.load()
        var bytes = try set.encode(
            json: #"{"name":"s","generic_secret":{"secret":{"inline_string":"VERY-PRIVATE"}}}"#, typeURL: Self.secret)
        var type = Self.secret
        for _ in 0..<depth {
            bytes = Self.resource(type, bytes)
            type = Self.wrapper
        }
        for redacting in [true, false] {
            let text = (try? set.json(typeURL: type, bytes: bytes, redacting: redacting)) ?? ""
            if redacting { #expect(!text.contains(Self.leak)) }
        }
        let open = String(repeating: "{\"a\":", count: depth)
        #expect(throws: ProtobufError.self) {
            try set.encode(json: open, typeURL: Self.prefix + "google.protobuf.Struct")
        }
    }

    /// An encoded `envoy.service.discovery.v3.Resource` around a message.
    private static func resource(_ typeURL: String, _ value: [UInt8]) -> [UInt8] {
        self.field(2, self.field(1, Array(typeURL.utf8)) + self.field(2, value))
    }

    private static func field(_ number: UInt8, _ content: [UInt8]) -> [UInt8] {
        var result = [number << 3 | 2]
        var count = content.count
        while count > 0x7F {
            result.append(UInt8(count & 0x7F) | 0x80)
            count >>= 7
        }
        return result + [UInt8(count)] + content
    }
}

/// What was shown redacted is not taken for what it was.
@Suite struct RedactedMarkTests {
    private static let prefix = "type.googleapis.com/"
    private static let secret = prefix + "envoy.extensions.transport_sockets.tls.v3.Secret"
    private static let listener = prefix + "envoy.config.listener.v3.Listener"

    @Test(
        "a mark in a sensitive field is found, at any depth; elsewhere it is text like any other",
        arguments: [
            (Self.secret, #"{"name":"s","generic_secret":{"secret":{"inline_string":"[redacted]"}}}"#, true),
            (Self.secret, #"{"name":"s","generic_secret":{"secret":{"inline_bytes":"W3JlZGFjdGVkXQ=="}}}"#, true),
            (Self.secret, #"{"name":"[redacted]","generic_secret":{"secret":{"inline_string":"real"}}}"#, false),
            (Self.secret, #"{"name":"[redacted]","generic_secret":{"secret":{"inline_string":"[redacted]"}}}"#, true),
            (Self.listener, #"{"name":"[redacted]","stat_prefix":"[redacted]"}"#, false),
            (Self.secret, #"{"name":"s","generic_secret":{"secret":{"inline_string":"real"}}}"#, false),
        ])
    func marks(typeURL: String, json: String, isFound: Bool) throws {
        let set = try Descriptors.load()
        #expect(set.holdsRedacted(typeURL: typeURL, bytes: try set.encode(json: json, typeURL: typeURL)) == isFound)
    }
}
