import WeirBase
import WeirXDS

/// Every decoder of WeirXDS on the same bytes. What was decoded lies within them and, encoded again, says the same.
func fuzzEnvelope(_ input: [UInt8]) throws(FuzzFinding) {
    let bytes = input.span
    let whole = ByteRange(offset: 0, count: bytes.count)
    if let request = try? DiscoveryRequest(decoding: bytes) { try checkRequest(request, in: bytes) }
    if let request = try? DeltaDiscoveryRequest(decoding: bytes) { try checkDeltaRequest(request, in: bytes) }
    if let response = try? DiscoveryResponse(decoding: bytes) {
        try checkRanges([response.versionInfo, response.typeURL, response.nonce] + response.resources, within: whole)
        try checkRanges(response.resourceErrors, within: whole)
        for any in response.resources { try checkAny(any, in: bytes) }
    }
    if let response = try? DeltaDiscoveryResponse(decoding: bytes) {
        try checkRanges([response.systemVersionInfo, response.typeURL, response.nonce], within: whole)
        try checkRanges(response.removedResources + response.resourceErrors, within: whole)
        for range in response.resources { try checkResource(range, in: bytes) }
    }
    try checkResource(whole, in: bytes)
    try checkAny(whole, in: bytes)
    try checkDetail(whole, in: bytes)
    try checkNode(input)
    try checkName(bytes.string(whole))
    _ = ClientFeatures.takesTimeToLive(node: bytes)
    if let error = try? ResourceError.read(whole, in: bytes) {
        try check(error.error.encoded == input, "an error is not kept as it is")
    }
    if let span = try? ProtobufDuration.span(in: bytes, whole) {
        let encoded = ProtobufDuration.encoded(span)
        let again = try? ProtobufDuration.span(in: encoded.span, ByteRange(offset: 0, count: encoded.count))
        try check(span > .zero && again == span, "\(span) became \(String(describing: again))")
    }
}

private func checkName(_ name: String) throws(FuzzFinding) {
    let canonical = ResourceName.canonical(name)
    try check(ResourceName.canonical(canonical) == canonical, "\(canonical) has another canonical form")
    for type in [XDSType.cds, .leds] {
        guard var glob = ResourceName.collection(of: canonical, type: type) else { continue }
        try check(ResourceName.isGlob(glob, type: type) || glob.hasPrefix("/"), "\(name) is in \(glob), no collection")
        while let parent = ResourceName.parent(ofGlob: glob) {
            try check(parent.utf8.count < glob.utf8.count, "\(parent) is above \(glob)")
            glob = parent
        }
    }
}

private func checkRanges(_ ranges: [ByteRange], within outer: ByteRange) throws(FuzzFinding) {
    for range in ranges where range != .empty {
        try check(
            range.count >= 0 && range.offset >= outer.offset && range.end <= outer.end, "\(range) leaves \(outer)")
    }
}

private func checkAny(_ range: ByteRange, in bytes: borrowing Span<UInt8>) throws(FuzzFinding) {
    guard let any = try? AnyEnvelope(decoding: range, in: bytes) else { return }
    try checkRanges([any.typeURL, any.value], within: range)
    _ = XDSType.of(typeURL: bytes.string(any.typeURL)).label
}

private func checkResource(_ range: ByteRange, in bytes: borrowing Span<UInt8>) throws(FuzzFinding) {
    guard let envelope = try? ResourceEnvelope(decoding: range, in: bytes) else { return }
    try checkRanges([envelope.name, envelope.version] + envelope.aliases + envelope.extras, within: range)
    guard let any = envelope.resource else { return }
    try checkRanges([any], within: range)
    try checkAny(any, in: bytes)
}

private func checkDetail(_ range: ByteRange, in bytes: borrowing Span<UInt8>) throws(FuzzFinding) {
    guard let detail = try? ErrorDetail(decoding: range, in: bytes) else { return }
    let count = detail.message.utf8.count
    // What is no UTF-8 becomes U+FFFD, of three bytes.
    try check(count <= 3 * ErrorDetail.messageBytesMax, "an error message of \(count) bytes is kept")
    guard count <= ErrorDetail.messageBytesMax else { return }
    let encoded = detail.encoded
    let again = try? ErrorDetail(decoding: ByteRange(offset: 0, count: encoded.count), in: encoded.span)
    try check(again == detail, "\(detail) became \(String(describing: again))")
}

// MARK: Requests

private func checkRequest(_ request: DiscoveryRequest, in bytes: borrowing Span<UInt8>) throws(FuzzFinding) {
    let whole = ByteRange(offset: 0, count: bytes.count)
    try checkRanges([request.versionInfo, request.typeURL, request.responseNonce], within: whole)
    try checkRanges(request.resourceNames + [request.node, request.errorDetail].compactMap { $0 }, within: whole)
    if let detail = request.errorDetail { try checkDetail(detail, in: bytes) }
    if let node = request.node { try checkNode(bytes.array(node)) }
    var outgoing = OutgoingRequest(typeURL: bytes.string(request.typeURL))
    outgoing.node = request.node.map { bytes.array($0) }
    outgoing.versionInfo = bytes.string(request.versionInfo)
    outgoing.responseNonce = bytes.string(request.responseNonce)
    outgoing.resourceNames = request.resourceNames.map { bytes.string($0) }
    let encoded = outgoing.encoded
    let span = encoded.span
    guard let again = try? DiscoveryRequest(decoding: span) else {
        throw FuzzFinding(description: "\(outgoing) is not decoded")
    }
    try check(
        span.string(again.typeURL) == outgoing.typeURL && again.node.map { span.array($0) } == outgoing.node
            && span.string(again.versionInfo) == outgoing.versionInfo
            && span.string(again.responseNonce) == outgoing.responseNonce
            && again.resourceNames.map { span.string($0) } == outgoing.resourceNames,
        "\(outgoing) is decoded as something else")
}

private func checkDeltaRequest(
    _ request: DeltaDiscoveryRequest, in bytes: borrowing Span<UInt8>
) throws(FuzzFinding) {
    let whole = ByteRange(offset: 0, count: bytes.count)
    try checkRanges([request.typeURL, request.responseNonce] + request.subscribe, within: whole)
    try checkRanges(request.unsubscribe + [request.node, request.errorDetail].compactMap { $0 }, within: whole)
    try checkRanges(request.initialVersions.flatMap { [$0.name, $0.version] }, within: whole)
    var outgoing = OutgoingDeltaRequest(typeURL: bytes.string(request.typeURL))
    outgoing.node = request.node.map { bytes.array($0) }
    outgoing.responseNonce = bytes.string(request.responseNonce)
    outgoing.subscribe = request.subscribe.map { bytes.string($0) }
    outgoing.unsubscribe = request.unsubscribe.map { bytes.string($0) }
    outgoing.initialVersions = request.initialVersions.map {
        OutgoingDeltaRequest.InitialVersion(name: bytes.string($0.name), version: bytes.string($0.version))
    }
    let encoded = outgoing.encoded
    let span = encoded.span
    guard let again = try? DeltaDiscoveryRequest(decoding: span) else {
        throw FuzzFinding(description: "\(outgoing) is not decoded")
    }
    try check(
        span.string(again.typeURL) == outgoing.typeURL && again.node.map { span.array($0) } == outgoing.node
            && span.string(again.responseNonce) == outgoing.responseNonce
            && again.subscribe.map { span.string($0) } == outgoing.subscribe
            && again.unsubscribe.map { span.string($0) } == outgoing.unsubscribe
            && again.initialVersions.map { span.string($0.name) } == outgoing.initialVersions.map(\.name)
            && again.initialVersions.map { span.string($0.version) } == outgoing.initialVersions.map(\.version),
        "\(outgoing) is decoded as something else")
}

// MARK: Nodes

/// A node made of the fields of another.
private func copied(_ node: Node) -> Node {
    Node(
        id: node.id, cluster: node.cluster, metadata: node.hasMetadata ? node.metadata : nil, region: node.region,
        zone: node.zone, subZone: node.subZone, userAgentName: node.userAgentName,
        userAgentVersion: node.userAgentVersion, clientFeatures: node.clientFeatures)
}

private func checkNode(_ bytes: [UInt8]) throws(FuzzFinding) {
    guard let node = try? Node(decoding: bytes) else { return }
    let copy = copied(node)
    guard let again = try? Node(decoding: copy.raw) else {
        throw FuzzFinding(description: "a node's encoding is not decoded: \(copy.raw)")
    }
    try check(copied(again).raw == copy.raw, "a node changes by encoding and decoding: \(copy.raw)")
    let renamed = node.replacing(id: "x", cluster: nil)
    guard let decoded = try? Node(decoding: renamed.raw) else {
        throw FuzzFinding(description: "a renamed node is not decoded: \(renamed.raw)")
    }
    try check(decoded.id == "x" && decoded.cluster == node.cluster, "renaming a node gives another name")
    try check(
        copied(decoded).raw == copied(node.replacing(id: "x", cluster: nil)).raw, "renaming a node changes other fields"
    )
}
