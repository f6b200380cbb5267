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
