import WeirBase
import WeirXDS

/// One resource of an upstream response as it stands in the bytes.
struct ReceivedResource {
    var name: String
    /// Delta: the upstream's; nil in SotW, and where it gave none.
    var version: String?
    var any: ByteRange?
    var extras: [ByteRange] = []
    var aliases: [String] = []
    var ttl: Nanoseconds?
    /// SotW: whether it is the `Any` by itself, without a wrapper.
    var isBare = false
}

/// What an upstream response says, after the checks at transport level. Payloads are not looked at (UP-04).
struct ReceivedResponse {
    var version = ""
    var nonce = ""
    var resources: [ReceivedResource] = []
    /// SotW: how many entries beside these are what is held, byte for byte (`KnownEntries`).
    var unchanged = 0
    var removed: [String] = []
    /// Why resources are not sent, by name.
    var errors: [(name: String, error: ResourceError)] = []
    /// Names whose entries are unusable: what is cached of them stays (UP-05).
    var badNames: Set<String> = []
    /// Whether entries were lost whose names are unknown: then absence proves nothing.
    var isPartial = false
    /// Why the response must be rejected, one reason per bad entry, the first of them; empty: it is fine (UP-06).
    private(set) var faults: [String] = []
    private var faultsLeftOut = 0

    /// Reasons that are kept and told.
    static let faultsMax = 8

    init(version: String = "", nonce: String = "") {
        self.version = version
        self.nonce = nonce
    }

    mutating func reject(_ reason: String) {
        if self.faults.count < Self.faultsMax { self.faults.append(reason) } else { self.faultsLeftOut += 1 }
    }

    mutating func rejectAgain(_ resource: ReceivedResource) {
        self.reject("\"\(resource.name)\" appears more than once")
        self.badNames.insert(resource.name)
    }

    /// The reasons as the text of a NACK, bounded.
    var rejection: String {
        let shown = self.faults.joined(separator: "; ")
        let more = self.faultsLeftOut > 0 ? "; and \(self.faultsLeftOut) more" : ""
        return String(decoding: (shown + more).utf8.prefix(2048), as: UTF8.self)
    }
}

enum ResponseReader {
    // MARK: SotW

    static func read(
        _ response: DiscoveryResponse, type: XDSType, in bytes: borrowing Span<UInt8>
    ) -> ReceivedResponse {
        var nothing = KnownEntries()
        return self.read(response, type: type, besides: &nothing, held: { _ in nil }, in: bytes)
    }

    /// Reads what is not `known`.
    ///
    /// - Parameter held: what is held under a name.
    static func read(
        _ response: DiscoveryResponse, type: XDSType, besides known: inout KnownEntries,
        held: (String) -> Resource?, in bytes: borrowing Span<UInt8>
    ) -> ReceivedResponse {
        var result = ReceivedResponse(version: bytes.string(response.versionInfo), nonce: bytes.string(response.nonce))
        var seen: Set<String> = []
        for (index, any) in response.resources.enumerated() {
            if known.claim(any, in: bytes) { continue }
            do throws(ReadFault) {
                let resource = try self.sotwResource(any, type, in: bytes)
                self.admit(resource, &seen, &result)
            } catch {
                result.reject("resource \(index): \(error.reason)")
                // A bad entry without a name might be any of those cached: then none of them may count as gone.
                if let name = error.name { result.badNames.insert(name) } else { result.isPartial = true }
            }
        }
        result.unchanged = known.claimed
        if known.claimed > 0 {
            for resource in result.resources where known.hasClaimed(held(resource.name)) {
                result.rejectAgain(resource)
            }
        }
        result.resources.removeAll { result.badNames.contains($0.name) }
        result.errors = self.errors(response.resourceErrors, seen, in: bytes) { known.hasClaimed(held($0)) }
        return result
    }

    private static func sotwResource(
        _ range: ByteRange, _ type: XDSType, in bytes: borrowing Span<UInt8>
    ) throws(ReadFault) -> ReceivedResource {
        guard let any = try? AnyEnvelope(decoding: range, in: bytes) else { throw ReadFault("undecodable Any") }
        if bytes.equals(any.typeURL, text: XDSType.wrapperURL) {
            guard let envelope = try? ResourceEnvelope(decoding: any.value, in: bytes) else {
                throw ReadFault("undecodable Resource wrapper")
            }
            var resource = try self.resource(envelope, type, in: bytes)
            resource.version = nil
            if resource.name.isEmpty, let inner = envelope.resource {
                resource.name = try self.payloadName(inner, type, in: bytes)
            }
            return resource
        }
        guard
            bytes.equals(any.typeURL, text: type.typeURL) || bytes.equals(any.typeURL, text: XDSType.redirectURL)
        else {
            let typeURL = bytes.string(any.typeURL)
            // Field 1 is the name in nearly every type: a guess that helps people, and keeps what is cached of it.
            let name = try? self.payloadName(range, XDSType.of(typeURL: typeURL), in: bytes)
            let whose = name.map { "\"\($0)\" has" } ?? "it has"
            throw ReadFault("\(whose) type \(typeURL), not the response's \(type.typeURL)", name: name)
        }
        return ReceivedResource(name: try self.payloadName(any, type, in: bytes), any: range, isBare: true)
    }

    /// The name inside a payload. SotW carries no other; types weir does not know are tried with field 1, where every
    /// type so far has it.
    private static func payloadName(
        _ any: ByteRange, _ type: XDSType, in bytes: borrowing Span<UInt8>
    ) throws(ReadFault) -> String {
        guard let envelope = try? AnyEnvelope(decoding: any, in: bytes) else { throw ReadFault("undecodable Any") }
        return try self.payloadName(envelope, type, in: bytes)
    }

    private static func payloadName(
        _ envelope: AnyEnvelope, _ type: XDSType, in bytes: borrowing Span<UInt8>
    ) throws(ReadFault) -> String {
        let wanted = type.nameField ?? 1
        var reader = WireReader(envelope.value)
        var name = ""
        do throws(WireError) {
            while let field = try reader.next(in: bytes) {
                if field.number == wanted { name = ResourceName.canonical(bytes.string(try field.bytes())) }
            }
        } catch {
            throw ReadFault("undecodable \(type.label) payload: \(error)")
        }
        guard !name.isEmpty else {
            throw ReadFault(
                "no resource name in field \(wanted) of \(type.label); SotW needs one to tell resources apart")
        }
        return name
    }

    /// The errors of names that are not in the same response as resources. What cannot be read says nothing.
    private static func errors(
        _ ranges: [ByteRange], _ seen: Set<String>, in bytes: borrowing Span<UInt8>,
        except isKnown: (String) -> Bool = { _ in false }
    ) -> [(name: String, error: ResourceError)] {
        var errors: [(name: String, error: ResourceError)] = []
        var named = seen
        for range in ranges {
            guard let entry = try? ResourceError.read(range, in: bytes) else { continue }
            let name = ResourceName.canonical(entry.name)
            if !name.isEmpty, named.insert(name).inserted, !isKnown(name) { errors.append((name, entry.error)) }
        }
        return errors
    }

    // MARK: Delta

    static func read(
        _ response: DeltaDiscoveryResponse, type: XDSType, in bytes: borrowing Span<UInt8>
    ) -> ReceivedResponse {
        var result = ReceivedResponse(
            version: bytes.string(response.systemVersionInfo), nonce: bytes.string(response.nonce))
        var seen: Set<String> = []
        for (index, range) in response.resources.enumerated() {
            do throws(ReadFault) {
                guard let envelope = try? ResourceEnvelope(decoding: range, in: bytes) else {
                    throw ReadFault("undecodable Resource")
                }
                self.admit(try self.resource(envelope, type, in: bytes), &seen, &result)
            } catch {
                result.reject("resource \(index): \(error.reason)")
                if let name = error.name { result.badNames.insert(name) } else { result.isPartial = true }
            }
        }
        for range in response.removedResources {
            let name = ResourceName.canonical(bytes.string(range))
            if seen.contains(name) {
                result.reject("\"\(name)\" is both in resources and in removed_resources")
                result.badNames.insert(name)
            } else {
                result.removed.append(name)
            }
        }
        result.resources.removeAll { result.badNames.contains($0.name) }
        result.errors = self.errors(response.resourceErrors, seen, in: bytes)
        return result
    }

    private static func resource(
        _ envelope: ResourceEnvelope, _ type: XDSType, in bytes: borrowing Span<UInt8>
    ) throws(ReadFault) -> ReceivedResource {
        let name = ResourceName.canonical(bytes.string(envelope.name))
        if let payload = envelope.resource {
            guard let any = try? AnyEnvelope(decoding: payload, in: bytes) else {
                throw ReadFault("undecodable Any in \"\(name)\"", name: name)
            }
            guard
                bytes.equals(any.typeURL, text: type.typeURL) || bytes.equals(any.typeURL, text: XDSType.redirectURL)
            else {
                let typeURL = bytes.string(any.typeURL)
                throw ReadFault("\"\(name)\" has type \(typeURL), not the response's \(type.typeURL)", name: name)
            }
        }
        // Proxies key by versions; a server that gives none gets one made from the content (DELTA-15).
        let version = envelope.version.isEmpty ? nil : bytes.string(envelope.version)
        return ReceivedResource(
            name: name, version: version, any: envelope.resource, extras: envelope.extras,
            aliases: envelope.aliases.map { ResourceName.canonical(bytes.string($0)) }, ttl: envelope.ttl)
    }

    private static func admit(
        _ resource: ReceivedResource, _ seen: inout Set<String>, _ result: inout ReceivedResponse
    ) {
        if resource.name.isEmpty {
            result.reject("a resource without a name")
            result.isPartial = true
        } else if !seen.insert(resource.name).inserted {
            result.rejectAgain(resource)
        } else {
            result.resources.append(resource)
        }
    }
}

/// Why one entry of a response cannot be used, and whose it is, if that is known.
private struct ReadFault: Error {
    var reason: String
    var name: String?

    init(_ reason: String, name: String? = nil) {
        self.reason = reason
        self.name = name
    }
}
