package import WeirProtobuf

import WeirBase
import WeirXDS
import WeirYAML

/// Loads all resources of a file or folder in Envoy's own file format: `resources:` with `@type`, in YAML or JSON.
///
/// All files are taken or none; every error is reported, with its place. Blocks on the disk.
package func loadResources(path: String, descriptors: DescriptorSet) -> FileLoad {
    var loading = ResourceLoading(descriptors: descriptors)
    do throws(FolderReader.Failure) {
        for file in try FolderReader.files(at: path) {
            do throws(FolderReader.Failure) {
                loading.load(try FolderReader.read(file), file: file)
            } catch {
                loading.diagnostics.append(error.diagnostic)
            }
        }
    } catch {
        loading.diagnostics.append(error.diagnostic)
    }
    return loading.result
}

/// The same for one file whose bytes are at hand; `file` is only used to name places.
package func readResources(_ bytes: [UInt8], file: String, descriptors: DescriptorSet) -> FileLoad {
    var loading = ResourceLoading(descriptors: descriptors)
    loading.load(bytes, file: file)
    return loading.result
}

/// Collects resources and errors over several files.
struct ResourceLoading {
    let descriptors: DescriptorSet
    var diagnostics: [Diagnostic] = []
    private var resources: [LoadedResource] = []
    private var places: [String: SourcePlace] = [:]

    init(descriptors: DescriptorSet) { self.descriptors = descriptors }

    var result: FileLoad { self.diagnostics.isEmpty ? .loaded(self.resources) : .failed(self.diagnostics) }

    private mutating func fail(_ place: SourcePlace, _ message: String) {
        self.diagnostics.append(Diagnostic(.error, at: place, message))
    }

    mutating func load(_ bytes: [UInt8], file: String) {
        let tree: YAMLNode
        do throws(YAMLFailure) {
            tree = try parseYAML(bytes, file: file)
        } catch {
            self.diagnostics += error.diagnostics
            return
        }
        if tree.isNull { return }
        guard let entries = tree.mapping else {
            return self.fail(tree.place, "expected a mapping with \"resources\", found \(tree.kindDescription)")
        }
        let known = ["version_info", "resources", "type_url", "nonce", "canary", "control_plane"]
        for entry in entries where !known.contains(entry.key) {
            let hint = nearestName(to: entry.key, among: known).map { "; did you mean \"\($0)\"?" } ?? ""
            self.fail(entry.keyPlace, "unknown field \"\(entry.key)\"\(hint)")
        }
        guard let list = tree["resources"] else {
            return self.fail(tree.place, "\"resources\" is missing: a list of resources with \"@type\"")
        }
        if list.isNull { return }
        guard let elements = list.sequence else {
            return self.fail(list.place, "resources: expected a list, found \(list.kindDescription)")
        }
        for element in elements { self.load(element) }
    }

    private mutating func load(_ element: YAMLNode) {
        guard let entries = element.mapping else {
            return self.fail(element.place, "expected a resource, found \(element.kindDescription)")
        }
        guard let typeURL = element["@type"]?.scalar?.text, !typeURL.isEmpty else {
            return self.fail(element.place, "the resource has no \"@type\"")
        }
        if typeURL == XDSType.wrapperURL { return self.loadWrapped(element) }
        let place = element["@type"]?.place ?? element.place
        guard self.isUsable(typeURL, at: place) else { return }
        let field = typeURL == XDSType.eds.typeURL ? "cluster_name" : "name"
        guard let name = (element[field] ?? element[Self.camelCase(field)])?.scalar?.text, !name.isEmpty else {
            return self.fail(element.place, "the resource has no \"\(field)\"")
        }
        let body = entries.filter { $0.key != "@type" }
        self.add(typeURL, name, YAMLNode(place: element.place, content: .mapping(body)), at: element.place)
    }

    /// `envoy.service.discovery.v3.Resource` around a resource: the name is the wrapper's.
    private mutating func loadWrapped(_ wrapper: YAMLNode) {
        guard let inner = wrapper["resource"], let entries = inner.mapping,
            let typeURL = inner["@type"]?.scalar?.text
        else {
            return self.fail(wrapper.place, "the wrapped resource has no \"resource\" with \"@type\"")
        }
        guard self.isUsable(typeURL, at: inner["@type"]?.place ?? inner.place) else { return }
        guard let name = wrapper["name"]?.scalar?.text, !name.isEmpty else {
            return self.fail(wrapper.place, "the wrapped resource has no \"name\"")
        }
        let body = entries.filter { $0.key != "@type" }
        self.add(typeURL, name, YAMLNode(place: inner.place, content: .mapping(body)), at: wrapper.place)
    }

    /// Whether a resource can have this type. A known name without the prefix of type URLs is refused, as no client would
    /// ever subscribe to it.
    private mutating func isUsable(_ typeURL: String, at place: SourcePlace) -> Bool {
        guard self.descriptors.knows(typeURL: typeURL) else {
            self.fail(place, "unknown type \"\(typeURL)\"")
            return false
        }
        let name = typeURL.split(separator: "/").last.map(String.init) ?? typeURL
        let whole = Self.typePrefix + name
        guard typeURL == whole else {
            self.fail(place, "the type \"\(typeURL)\" is to be written as \"\(whole)\"")
            return false
        }
        return true
    }

    private static let typePrefix = "type.googleapis.com/"

    private mutating func add(_ typeURL: String, _ name: String, _ body: YAMLNode, at place: SourcePlace) {
        let key = "\(typeURL) \(name)"
        if let first = self.places[key] {
            return self.fail(
                place, "\"\(name)\" is here twice: also at \(first.file):\(first.line):\(first.column)")
        }
        self.places[key] = place
        do throws(ProtobufError) {
            let value = try self.descriptors.encode(json: jsonText(of: body), typeURL: typeURL)
            var any = WireWriter(reserving: value.count + typeURL.utf8.count + 16)
            any.string(1, typeURL)
            if !value.isEmpty { any.message(2, value) }
            self.resources.append(LoadedResource(typeURL: typeURL, name: name, any: any.bytes))
        } catch {
            let text = error.description
            let at = FieldFinder.place(of: text, in: body) ?? place
            self.fail(at, "\"\(name)\": \(text)")
        }
    }

    private static func camelCase(_ name: String) -> String {
        let parts = name.split(separator: "_").map(String.init)
        return (parts.first ?? "") + parts.dropFirst().map { $0.prefix(1).uppercased() + $0.dropFirst() }.joined()
    }
}

/// Finds the place of what libprotobuf complains about: it names a field by path, such as
/// `(load_assignment.endpoints[0]): nmae: Cannot find field.`
enum FieldFinder {
    static func place(of text: String, in tree: YAMLNode) -> SourcePlace? {
        guard let open = text.firstIndex(of: "("), let close = text[open...].firstIndex(of: ")") else {
            return self.key(String(text.prefix { $0 != ":" }), in: tree)
        }
        let path = self.path(text[text.index(after: open)..<close])
        let node = self.descend(path, tree) ?? tree
        let rest = text[text.index(after: close)...].drop { $0 == ":" || $0 == " " }
        return self.key(String(rest.prefix { $0 != ":" }), in: node) ?? (path.isEmpty ? nil : node.place)
    }

    /// `a.b[0]` as steps.
    private static func path(_ text: Substring) -> [String] {
        text.split { $0 == "." || $0 == "[" || $0 == "]" }.map(String.init)
    }

    private static func descend(_ path: [String], _ tree: YAMLNode) -> YAMLNode? {
        var node = tree
        for step in path {
            if let entries = node.mapping {
                guard let next = entries.first(where: { self.isSame($0.key, step) })?.value else { return node }
                node = next
            } else if let elements = node.sequence, let index = Int(step), elements.indices.contains(index) {
                node = elements[index]
            } else {
                return node
            }
        }
        return node
    }

    /// A key of this name in the node or, failing that, anywhere below it.
    private static func key(_ name: String, in node: YAMLNode) -> SourcePlace? {
        let wanted = name.split(separator: " ").first.map(String.init) ?? name
        guard !wanted.isEmpty else { return nil }
        if let entries = node.mapping {
            if let found = entries.first(where: { self.isSame($0.key, wanted) }) { return found.keyPlace }
            return entries.lazy.compactMap { self.key(wanted, in: $0.value) }.first
        }
        return node.sequence?.lazy.compactMap { self.key(wanted, in: $0) }.first
    }

    /// libprotobuf writes field names as the input has them, or in camel case.
    private static func isSame(_ key: String, _ name: String) -> Bool {
        key == name || key.filter { $0 != "_" }.lowercased() == name.filter { $0 != "_" }.lowercased()
    }
}
