import WeirBase
import WeirXDS

/// Encodes responses: once for all the streams that get them. A body is a gRPC message without the nonce, which each
/// stream appends as its private tail; the length in front counts it already.
struct ResponseEncoder {
    let view: TypeView
    let identifier: String
    /// Delta responses are split above this size.
    let maxBytes: Int
    /// Now, for what is left of times to live.
    let now: Instant

    private static let prefixCount = 5
    /// Responses that one answer may be split into; the rest follows when they are answered.
    static let bodiesMax = 32

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
        guard !self.view.type.isDeltaOnly else { return Encoded(bodies: [], version: version, endpointNames: nil) }
        let listed: [NameID]
        if self.view.sendsFullSet {
            guard mustSend || !names.isEmpty else { return Encoded(bodies: [], version: version, endpointNames: nil) }
            listed = self.everything(content)
        } else {
            listed = names
        }
        var resources: [Resource] = []
        resources.reserveCapacity(listed.count + retired.count)
        var bytes = 256
        for id in listed {
            guard let resource = self.view.visible(id, to: content), resource.hasBody else { continue }
            bytes += resource.sotwElement.count
            resources.append(resource)
        }
        for resource in retired where resource.hasBody {
            bytes += resource.sotwElement.count
            resources.append(resource)
        }
        let errors = self.view.errors.isEmpty ? [] : names.compactMap { self.error($0, content) }
        if resources.isEmpty, errors.isEmpty, !self.view.sendsFullSet {
            return Encoded(bodies: [], version: version, endpointNames: nil)
        }
        var writer = self.begin(reserving: bytes)
        writer.string(1, version)
        writer.string(4, self.view.type.typeURL)
        self.appendControlPlane(field: 6, to: &writer)
        var usableUntil: Instant?
        for resource in resources {
            if content.wrapsTimeToLive, let timeToLive = resource.timeToLive {
                writer.appendWrapped(resource, timeToLive.left(at: self.now))
                usableUntil = self.now + TimeToLive.tolerance
            } else {
                writer.append(resource.sotwElement, of: resource)
            }
        }
        for error in errors { writer.message(7, error.encoded) }
        return Encoded(
            bodies: [self.finish(writer)], version: version, endpointNames: endpoints, usableUntil: usableUntil)
    }

    /// The delta responses to a client that must hear of `names`: those visible are sent, the others reported gone.
    ///
    /// `skipping` says which versions the client holds already. Of `refreshed` it holds all but the new time to live, and
    /// `failed` it holds and must hear of an error.
    func delta(
        _ content: Subscription.Content, names: [NameID], gone: [String] = [], mustSend: Bool,
        skipping held: [String: String] = [:], refreshed: Set<NameID> = [], failed: Set<NameID> = []
    ) -> Encoded {
        var builder = DeltaBuilder(encoder: self)
        var absent: [NameID] = []
        var unresolved: [(NameID, Resource)] = []
        for id in names {
            if failed.contains(id), let known = self.view.errors[id] {
                // Why it is gone is no news to who was told that it is (XLT-11).
                if self.view.visible(id, to: content) == nil, self.isKnownGone(id, content) { continue }
                builder.add(known.error, for: id)
            } else if let resource = self.view.visible(id, to: content) {
                let isHeld = held[resource.name].map { $0 == resource.version } ?? false
                if isHeld, resource.timeToLive == nil { continue }
                if !resource.hasBody {
                    unresolved.append((id, resource))
                    continue
                }
                builder.add(resource, for: id, isHeld: isHeld || refreshed.contains(id))
            } else if self.isKnownGone(id, content) {
                absent.append(id)
            } else if let error = self.error(id, content) {
                builder.add(error, for: id)
            }
        }
        // After those with a payload, which may have the same name.
        for (id, resource) in unresolved {
            builder.add(resource, for: id, isHeld: false)
            self.removeOtherName(id, content, from: &builder)
        }
        for id in absent { self.remove(id, content, from: &builder) }
        for name in gone { builder.remove(name, for: nil) }
        let bodies = builder.finish(mustSend: mustSend)
        let left = Set(builder.left)
        let sent = left.isEmpty ? names : names.filter { !left.contains($0) }
        return Encoded(
            bodies: bodies, version: self.view.version, endpointNames: self.endpointNames(of: sent, content),
            usableUntil: builder.hasTimeToLive ? self.now + TimeToLive.tolerance : nil, left: left)
    }

    /// The error of a name that the client does not see. No name may be among resources and errors at once (NAME-14).
    private func error(_ id: NameID, _ content: Subscription.Content) -> ResourceError? {
        guard let known = self.view.errors[id], self.view.visible(id, to: content) == nil else { return nil }
        return known.error
    }

    /// A name that is not visible: whether that is knowledge, or the origin was not heard yet.
    private func isKnownGone(_ id: NameID, _ content: Subscription.Content) -> Bool {
        // Given up beside a wildcard: what becomes of it the wildcard's first answer says (DELTA-06).
        guard self.view.isNamed(id, by: content) else { return !content.wildcard || !self.view.awaitsWildcard }
        if case .absent = self.view[id].named { return true }
        return self.view.isEmptyCollection(id)
    }

    /// Says that a name is gone; what was known by it has another of its own, and may be seen by that still.
    private func remove(_ id: NameID, _ content: Subscription.Content, from builder: inout DeltaBuilder) {
        builder.remove(self.view[id].name, for: id)
        self.removeOtherName(id, content, from: &builder)
    }

    /// What was had by a name that means nothing any more is gone by its own name too, or is said once more if it is seen by it.
    private func removeOtherName(_ id: NameID, _ content: Subscription.Content, from builder: inout DeltaBuilder) {
        guard let name = self.view.otherNames[id] else { return }
        if let other = self.view.existingID(of: name), let resource = self.view.visible(other, to: content) {
            builder.add(resource, for: other, isHeld: false)
        } else {
            builder.remove(name, for: id)
        }
    }

    private func everything(_ content: Subscription.Content) -> [NameID] {
        guard content.wildcard else { return content.names }
        return self.view.wildcardMembers + content.names.filter { self.view[$0].wild == nil }
    }

    private func endpointNames(of names: [NameID], _ content: Subscription.Content) -> EndpointNames? {
        guard self.view.type == .cds else { return nil }
        return EndpointNames(
            of: names.compactMap {
                guard let cluster = self.view.visible($0, to: content), cluster.endpointsName != nil else { return nil }
                return cluster
            })
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
///
/// There are at most `bodiesMax` at once: more would fill the transport's queue, and not fit into the record of what was
/// answered. What is left over is for a later answer.
private struct DeltaBuilder {
    let encoder: ResponseEncoder
    private var writer: WireWriter?
    private var bodies: [SharedBody] = []
    private(set) var hasTimeToLive = false
    /// What did not fit into the responses there may be at once.
    private(set) var left: [NameID] = []
    /// Names in use so far, once some resource has more than one: none may appear twice (DELTA-14).
    private var names: Set<String> = []

    init(encoder: ResponseEncoder) { self.encoder = encoder }

    /// `isHeld`: the client has it, so a heartbeat is enough, except in the type that has none (TTL-08).
    mutating func add(_ resource: Resource, for id: NameID, isHeld: Bool) {
        if !resource.aliases.isEmpty, !self.names.insert(resource.name).inserted { return }
        let isLimited = resource.timeToLive != nil
        let count = resource.encoded.count + (isLimited ? WireWriter.timeToLiveMax : 0)
        guard self.makeRoom(for: count) else { return self.left.append(id) }
        guard let timeToLive = resource.timeToLive else {
            self.writer?.append(resource.deltaElement, of: resource)
            return
        }
        self.hasTimeToLive = true
        let span = timeToLive.left(at: self.encoder.now)
        if isHeld, self.encoder.view.type != .vhds {
            self.writer?.appendHeartbeat(resource, span)
        } else {
            self.writer?.append(resource, span)
        }
    }

    /// `id` is nil for a name that no entry of the view stands for so far.
    mutating func remove(_ name: String, for id: NameID?) {
        if !self.names.isEmpty || self.encoder.view.type == .vhds, !self.names.insert(name).inserted { return }
        let count = WireWriter.size(ofField: name.utf8.count)
        guard self.makeRoom(for: count) else { return self.left.append(id ?? self.encoder.view.id(of: name)) }
        self.writer?.element(6, name)
    }

    mutating func add(_ error: ResourceError, for id: NameID) {
        guard self.makeRoom(for: WireWriter.size(ofField: error.encoded.count)) else { return self.left.append(id) }
        self.writer?.message(9, error.encoded)
    }

    /// Whether there is room for one entry more of this size.
    private mutating func makeRoom(for count: Int) -> Bool {
        guard self.left.isEmpty else { return false }
        if let full = self.writer, full.bytes.count + count + Nonce.fieldCount > self.encoder.maxBytes {
            self.bodies.append(self.encoder.finish(full))
            self.writer = nil
        }
        guard self.writer == nil else { return true }
        guard self.bodies.count < ResponseEncoder.bodiesMax else { return false }
        self.writer = self.encoder.beginDelta()
        return true
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

    private static let timeToLiveField = 6
    /// The most that a time to live adds to an element.
    fileprivate static let timeToLiveMax = 32

    /// Appends a resource as a delta element, with what is left of its time to live.
    fileprivate mutating func append(_ resource: Resource, _ left: Nanoseconds) {
        self.message(2, Self.content(resource, left))
    }

    /// Appends a resource as a SotW element in the wrapper that carries a time to live.
    fileprivate mutating func appendWrapped(_ resource: Resource, _ left: Nanoseconds) {
        var any = WireWriter()
        any.string(1, XDSType.wrapperURL)
        any.message(2, Self.content(resource, left))
        self.message(2, any.bytes)
    }

    /// Appends a delta element without payload: the resource lives on.
    fileprivate mutating func appendHeartbeat(_ resource: Resource, _ left: Nanoseconds) {
        var content = WireWriter()
        content.string(1, resource.version)
        content.element(3, resource.name)
        content.message(Self.timeToLiveField, ProtobufDuration.encoded(left))
        self.message(2, content.bytes)
    }

    private static func content(_ resource: Resource, _ left: Nanoseconds) -> [UInt8] {
        let range = resource.contentRange
        var content = WireWriter(reserving: range.count + Self.timeToLiveMax)
        content.message(Self.timeToLiveField, ProtobufDuration.encoded(left))
        content.append(range, of: resource)
        return content.bytes
    }
}
