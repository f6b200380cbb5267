import WeirBase
import WeirFiles
import WeirProtobuf
import WeirServer
public import WeirXDS

/// Makes resources of YAML or JSON, in the form of Envoy's own files: `resources:` with an `@type` each.
///
/// It needs the descriptors of all xDS messages, a file that weir's build makes (`xds-descriptors.binpb`).
public struct ResourceParser: Sendable {
    private let descriptors: DescriptorSet

    /// Reads the descriptors; unless a file is named, from `xds-descriptors.binpb` beside the program, in `../share/weir`, or
    /// two folders up, as in a build.
    ///
    /// - Throws: ``XDSServerError`` if there is no such file, or it holds no descriptors.
    public init(descriptorsFile file: String? = nil) throws(XDSServerError) {
        guard let descriptors = loadDescriptors(file) else {
            throw XDSServerError(
                description: "descriptors: \(file ?? "xds-descriptors.binpb beside the program") cannot be read")
        }
        self.descriptors = descriptors
    }

    /// Reads all resources of a text.
    ///
    /// - Parameters:
    ///   - text: YAML or JSON.
    ///   - source: what errors call the text.
    /// - Throws: ``XDSServerError`` with every error of the text, each with its line and column.
    public func resources(in text: String, source: String = "resources") throws(XDSServerError) -> [XDSResource] {
        switch readResources(Array(text.utf8), file: source, descriptors: self.descriptors) {
        case .failed(let diagnostics):
            throw XDSServerError(description: diagnostics.map(\.description).joined(separator: "\n"))
        case .loaded(let resources):
            return try resources.map { resource throws(XDSServerError) in
                let type = XDSType(typeURL: resource.typeURL)
                do throws(WireError) {
                    let bytes = resource.any.span
                    return try XDSResource(
                        type: type, name: resource.name, version: "",
                        any: ByteRange(offset: 0, count: bytes.count), in: bytes)
                } catch {
                    throw XDSServerError(description: "\"\(resource.name)\": \(error)")
                }
            }
        }
    }
}
