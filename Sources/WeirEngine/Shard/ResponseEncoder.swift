import WeirBase
import WeirXDS

/// Encodes responses: once for all the streams that get them. A body is a gRPC message without the nonce, which each
/// stream appends as its private tail; the length in front counts it already.
struct ResponseEncoder {
    let view: TypeView
    let identifier: String
    /// Delta responses are split above this size.
    let maxBytes: Int

    private static let prefixCount = 5

    /// The SotW response to a client with this subscription that must hear of `names`.
    ///
    /// Types whose absence means deletion carry everything visible, the others only what is new (SOTW-05 to SOTW-08).
    /// `retired`: what is gone and not to be removed yet; such a state has a version of its own, so that nobody who comes
    /// back with it counts as current. `mustSend`: an empty answer says something too.
    func sotw(
        _ content: Subscription.Content, names: [NameID], retired: [Resource] = [], mustSend: Bool
    ) -> Encoded {
        let version =
            retired.isEmpty
            ? self.view.sotwVersion(for: content) : self.view.derivedVersion(for: content, and: retired)
        let endpoints = self.endpointNames(of: names, content)
        guard !self.view.type.isDeltaOnly else { return Encoded(bodies: [], version: version, endpointNames: []) }
        let listed: [NameID]
        if self.view.sendsFullSet {
            guard mustSend || !names.isEmpty else { return Encoded(bodies: [], version: version, endpointNames: []) }
            listed = self.everything(content)
        } else {
            listed = names
        }
        let resources = (listed.compactMap { self.view.visible($0, to: content) } + retired).filter(\.hasBody)
        if resources.isEmpty, !self.view.sendsFullSet {
            return Encoded(bodies: [], version: version, endpointNames: [])
        }
        var writer = self.begin(reserving: resources.reduce(256) { $0 + $1.sotwElement.count })
        writer.string(1, version)
        writer.string(4, self.view.type.typeURL)
        self.appendControlPlane(field: 6, to: &writer)
        for resource in resources { writer.append(resource.sotwElement, of: resource) }
        return Encoded(bodies: [self.finish(writer)], version: version, endpointNames: endpoints)
    }

    /// The delta responses to a client that must hear of `names`: those visible are sent, the others reported gone.
    ///
    /// `skipping` says which versions the client holds already.
    func delta(
        _ content: Subscription.Content, names: [NameID], gone: [String] = [], mustSend: Bool,
        skipping held: [String: String] = [:]
    ) -> Encoded {
        var builder = DeltaBuilder(encoder: self)
        for id in names {
            let name = self.view[id].name
            if let resource = self.view.visible(id, to: content) {
                if let version = held[name], version == resource.version { continue }
                builder.add(resource)
            } else if self.isKnownGone(id, content) {
                builder.remove(name)
            }
        }
        for name in gone { builder.remove(name) }
        let bodies = builder.finish(mustSend: mustSend)
        return Encoded(
            bodies: bodies, version: self.view.version, endpointNames: self.endpointNames(of: names, content))
    }

    /// A name that is not visible: whether that is knowledge, or the origin was not heard yet.
    private func isKnownGone(_ id: NameID, _ content: Subscription.Content) -> Bool {
        // Given up beside a wildcard: what becomes of it the wildcard's first answer says (DELTA-06).
        guard content.contains(id) else { return !content.wildcard || !self.view.awaitsWildcard }
        if case .absent = self.view[id].named { return true }
        return false
    }

    private func everything(_ content: Subscription.Content) -> [NameID] {
        guard content.wildcard else { return content.names }
        return self.view.wildcardMembers + content.names.filter { self.view[$0].wild == nil }
    }

    private func endpointNames(of names: [NameID], _ content: Subscription.Content) -> [String] {
        guard self.view.type == .cds else { return [] }
        return names.compactMap { self.view.visible($0, to: content)?.endpointsName }
    }

    // MARK: Framing

    fileprivate func begin(reserving count: Int) -> WireWriter {
        var writer = WireWriter(reserving: count + Self.prefixCount)
        writer.bytes.append(contentsOf: [0, 0, 0, 0, 0])
        return writer
    }

    /// Fills in the gRPC prefix: no compression, and the length including the nonce that will follow.
    fileprivate func finish(_ writer: WireWriter) -> SharedBody {
        var bytes = writer.bytes
        let count = UInt32(truncatingIfNeeded: bytes.count - Self.prefixCount + Nonce.fieldCount)
        for i in 0..<4 { bytes[1 + i] = UInt8(truncatingIfNeeded: count >> UInt32(8 * (3 - i))) }
        return SharedBody(bytes)
    }

    fileprivate func appendControlPlane(field: Int, to writer: inout WireWriter) {
        guard !self.identifier.isEmpty else { return }
        var content = WireWriter()
        content.string(1, self.identifier)
        writer.message(field, content.bytes)
    }

    fileprivate func beginDelta() -> WireWriter {
        var writer = self.begin(reserving: 512)
        writer.string(1, self.view.version)
        writer.string(4, self.view.type.typeURL)
        self.appendControlPlane(field: 7, to: &writer)
        return writer
    }
}

/// Collects the parts of delta responses and starts another one when the limit is reached.
private struct DeltaBuilder {
    let encoder: ResponseEncoder
    private var writer: WireWriter?
    private var bodies: [SharedBody] = []

    init(encoder: ResponseEncoder) { self.encoder = encoder }

    mutating func add(_ resource: Resource) {
        self.makeRoom(for: resource.encoded.count)
        self.writer?.append(resource.deltaElement, of: resource)
    }

    mutating func remove(_ name: String) {
        self.makeRoom(for: WireWriter.size(ofField: name.utf8.count))
        self.writer?.element(6, name)
    }

    private mutating func makeRoom(for count: Int) {
        if let full = self.writer, full.bytes.count + count + Nonce.fieldCount > self.encoder.maxBytes {
            self.bodies.append(self.encoder.finish(full))
            self.writer = nil
        }
        if self.writer == nil { self.writer = self.encoder.beginDelta() }
    }

    /// The responses; with `mustSend` at least one, if need be an empty one (DELTA-01).
    mutating func finish(mustSend: Bool) -> [SharedBody] {
        if self.writer == nil, self.bodies.isEmpty, mustSend { self.writer = self.encoder.beginDelta() }
        if let last = self.writer { self.bodies.append(self.encoder.finish(last)) }
        return self.bodies
    }
}

extension WireWriter {
    /// Appends a piece of a resource's encoding.
    fileprivate mutating func append(_ range: ByteRange, of resource: Resource) {
        self.bytes.append(contentsOf: resource.encoded[range.offset..<range.end])
    }
}
