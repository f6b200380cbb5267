import WeirBase
import WeirXDS

/// What one stream holds of a control plane, as a proxy would: clusters and listeners by wildcard, the endpoints of
/// the clusters that it holds, and routes by fixed names.
struct FollowedState {
    static let types: [XDSType] = [.cds, .eds, .lds, .rds]

    struct Held {
        var hash: UInt64
        var version: String
    }

    let variant: ProtocolVariant
    let routes: [String]
    /// By the place in `types`.
    private(set) var held: [[String: Held]] = Array(repeating: [:], count: FollowedState.types.count)
    private var nonces = Array(repeating: "", count: FollowedState.types.count)
    private var versions = Array(repeating: "", count: FollowedState.types.count)
    /// Endpoints that the stream has asked for.
    private var asked: Set<String> = []
    /// Responses that left a type that had resources without any.
    private(set) var emptied = 0

    init(variant: ProtocolVariant, routes: [String]) {
        self.variant = variant
        self.routes = routes
    }

    // MARK: Requests

    /// What a new stream begins with, for a client that comes back with what it has.
    mutating func firstRequests(node: [UInt8]) -> [[UInt8]] {
        self.nonces = Array(repeating: "", count: Self.types.count)
        self.asked = Set(self.held[0].keys)
        var requests: [[UInt8]] = []
        for (index, type) in Self.types.enumerated() {
            let names = self.names(index)
            if names.isEmpty, index == 1 { continue }
            requests.append(self.first(index, type, names, requests.isEmpty ? node : nil))
        }
        return requests
    }

    private func names(_ index: Int) -> [String] {
        switch index {
        case 1: self.asked.sorted()
        case 3: self.routes
        default: []
        }
    }

    private func first(_ index: Int, _ type: XDSType, _ names: [String], _ node: [UInt8]?) -> [UInt8] {
        switch self.variant {
        case .sotw:
            var request = OutgoingRequest(typeURL: type.typeURL)
            request.node = node
            request.versionInfo = self.versions[index]
            request.resourceNames = names
            return request.encoded
        case .delta:
            var request = OutgoingDeltaRequest(typeURL: type.typeURL)
            request.node = node
            request.subscribe = names
            request.initialVersions = self.held[index].map { .init(name: $0.key, version: $0.value.version) }
            return request.encoded
        }
    }

    // MARK: Responses

    /// Takes a response over; what is to be said to it.
    mutating func receive(_ bytes: borrowing Span<UInt8>) throws(WireError) -> [[UInt8]] {
        switch self.variant {
        case .sotw: try self.receiveSotW(bytes)
        case .delta: try self.receiveDelta(bytes)
        }
    }

    private mutating func receiveSotW(_ bytes: borrowing Span<UInt8>) throws(WireError) -> [[UInt8]] {
        let response = try DiscoveryResponse(decoding: bytes)
        guard let index = Self.place(bytes.string(response.typeURL)) else { return [] }
        let had = !self.held[index].isEmpty
        if index == 0 || index == 2 { self.held[index] = [:] }
        for range in response.resources {
            let body = try AnyEnvelope(decoding: range, in: bytes).value
            let name = try Self.name(body, in: bytes)
            if index == 1, !self.asked.contains(name) { continue }
            self.held[index][name] = Held(hash: Self.hash(index, name, bytes, body), version: "")
        }
        if had, self.held[index].isEmpty { self.emptied += 1 }
        self.versions[index] = bytes.string(response.versionInfo)
        self.nonces[index] = bytes.string(response.nonce)
        let asks = index == 0 && self.followClusters() != nil
        return [self.listing(index)] + (asks ? [self.listing(1)] : [])
    }

    /// The whole list of names of a type, as an ACK or a change of mind.
    private func listing(_ index: Int) -> [UInt8] {
        var request = OutgoingRequest(typeURL: Self.types[index].typeURL)
        request.versionInfo = self.versions[index]
        request.responseNonce = self.nonces[index]
        request.resourceNames = self.names(index)
        return request.encoded
    }

    private mutating func receiveDelta(_ bytes: borrowing Span<UInt8>) throws(WireError) -> [[UInt8]] {
        let response = try DeltaDiscoveryResponse(decoding: bytes)
        guard let index = Self.place(bytes.string(response.typeURL)) else { return [] }
        let had = !self.held[index].isEmpty
        for range in response.removedResources { self.held[index][bytes.string(range)] = nil }
        for range in response.resources {
            let envelope = try ResourceEnvelope(decoding: range, in: bytes)
            guard let any = envelope.resource else { continue }
            let name = bytes.string(envelope.name)
            if index == 1, !self.asked.contains(name) { continue }
            let body = try AnyEnvelope(decoding: any, in: bytes).value
            self.held[index][name] = Held(
                hash: Self.hash(index, name, bytes, body), version: bytes.string(envelope.version))
        }
        if had, self.held[index].isEmpty { self.emptied += 1 }
        var ack = OutgoingDeltaRequest(typeURL: Self.types[index].typeURL)
        ack.responseNonce = bytes.string(response.nonce)
        guard index == 0, let change = self.followClusters() else { return [ack.encoded] }
        var endpoints = OutgoingDeltaRequest(typeURL: XDSType.eds.typeURL)
        endpoints.subscribe = change.new
        endpoints.unsubscribe = change.gone
        return [ack.encoded, endpoints.encoded]
    }

    /// Endpoints are wanted of the clusters that are held; nil: as before.
    private mutating func followClusters() -> (new: [String], gone: [String])? {
        let clusters = Set(self.held[0].keys)
        let (new, gone) = (clusters.subtracting(self.asked), self.asked.subtracting(clusters))
        guard !new.isEmpty || !gone.isEmpty else { return nil }
        self.asked = clusters
        for name in gone { self.held[1][name] = nil }
        return (new.sorted(), gone.sorted())
    }

    // MARK: Comparison

    /// A sum over what is held, whatever its order; `weirtest/follow.py` makes the same of what the control plane has.
    var digest: UInt64 {
        self.held.reduce(0) { sum, type in type.values.reduce(sum) { $0 &+ $1.hash } }
    }

    /// FNV-1a of the type's place, the name, a zero and the content.
    private static func hash(_ index: Int, _ name: String, _ bytes: borrowing Span<UInt8>, _ body: ByteRange) -> UInt64
    {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        func add(_ byte: UInt8) { hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01B3 }
        add(UInt8(index))
        for byte in name.utf8 { add(byte) }
        add(0)
        for position in body.offset..<(body.offset + body.count) { add(bytes[position]) }
        return hash
    }

    private static func place(_ typeURL: String) -> Int? { self.types.firstIndex { $0.typeURL == typeURL } }

    /// The first field of all four types is the name.
    private static func name(_ body: ByteRange, in bytes: borrowing Span<UInt8>) throws(WireError) -> String {
        var reader = WireReader(body)
        while let field = try reader.next(in: bytes) {
            if field.number == 1 { return bytes.string(try field.bytes()) }
        }
        return ""
    }
}
