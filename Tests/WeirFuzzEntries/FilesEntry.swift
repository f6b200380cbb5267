import WeirBase
import WeirConfig
import WeirFiles
import WeirProtobuf
import WeirXDS

/// A resource file, or a resource to show. First byte `p`: the second byte chooses a type, the rest is its encoding;
/// any other: the rest is a resource file, and what it loads is shown as well.
///
/// Does nothing where there is no descriptor set.
func fuzzFiles(_ input: [UInt8]) throws(FuzzFinding) {
    guard let descriptors else { return }
    var input = FuzzInput(input)
    if input.byte() == UInt8(ascii: "p") {
        let type = shownTypes[Int(input.byte()) % shownTypes.count]
        let bytes = input.rest()
        for redacting in [true, false] {
            _ = try? descriptors.json(typeURL: XDSType.prefix + type, bytes: bytes, redacting: redacting)
        }
        return
    }
    let text = input.rest()
    try checkSnapshot(text, descriptors)
    guard case .loaded(let resources) = readResources(text, file: "f", descriptors: descriptors) else { return }
    for resource in resources { try checkResource(resource, descriptors) }
    guard case .loaded(let again) = readResources(text, file: "f", descriptors: descriptors) else {
        throw FuzzFinding(description: "loaded once, but not twice")
    }
    try check(again == resources, "the same file gives other resources")
}

/// The same bytes as a snapshot that is put over HTTP.
private func checkSnapshot(_ bytes: [UInt8], _ descriptors: DescriptorSet) throws(FuzzFinding) {
    for reading in [
        readSnapshot(json: bytes, typeURL: nil, descriptors: descriptors),
        readSnapshot(protobuf: bytes, typeURL: nil, descriptors: descriptors),
    ] {
        switch reading {
        case .read(let body): for resource in body.resources { try checkResource(resource, descriptors) }
        case .malformed(let fault): try check(!fault.message.isEmpty, "no word of what is wrong")
        case .invalid(let faults): try check(!faults.isEmpty && faults.count <= 100, "\(faults.count) mistakes")
        }
    }
}

private func checkResource(_ resource: LoadedResource, _ descriptors: DescriptorSet) throws(FuzzFinding) {
    let span = resource.any.span
    guard let any = try? AnyEnvelope(decoding: ByteRange(offset: 0, count: span.count), in: span) else {
        throw FuzzFinding(description: "\(resource.name) is no Any")
    }
    try check(!resource.name.isEmpty && span.string(any.typeURL) == resource.typeURL, "\(resource) has another type")
    let value = span.array(any.value)
    for redacting in [true, false] {
        _ = try? descriptors.json(typeURL: resource.typeURL, bytes: value, redacting: redacting)
    }
}

private let shownTypes = [
    "envoy.config.cluster.v3.Cluster", "envoy.config.listener.v3.Listener", "envoy.config.route.v3.RouteConfiguration",
    "envoy.extensions.transport_sockets.tls.v3.Secret", "envoy.config.core.v3.Node", "envoy.service.runtime.v3.Runtime",
    "envoy.config.endpoint.v3.ClusterLoadAssignment", "envoy.service.discovery.v3.DiscoveryRequest",
]

/// Built by `make`, which every test run needs as well.
private let descriptors: DescriptorSet? = {
    let root = "/" + #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
    guard let bytes = try? readFile("\(root)/.build/xds-descriptors.binpb") else { return nil }
    return try? DescriptorSet(bytes: bytes)
}()
