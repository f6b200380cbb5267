package import WeirProtobuf

import WeirBase
import WeirXDS

/// What somebody puts as a snapshot, or as one type of it: a `DiscoveryResponse`, checked.
package struct SnapshotBody: Sendable {
    /// `version_info`; empty where there is none.
    package var version = ""
    package var resources: [LoadedResource] = []

    /// The longest version, and the most bytes of a resource's name.
    package static let versionBytesMax = 256
    package static let nameBytesMax = 4096
}

/// One thing that is wrong with it: of which resource, in which field, and what.
package struct SnapshotFault: Hashable, Sendable {
    /// The place in `resources`, from 0; nil: it is the body as a whole.
    package var index: Int?
    /// As far as they are known.
    package var typeURL = ""
    package var name = ""
    /// As in `load_assignment.endpoints[0]`; empty: the resource as a whole.
    package var field = ""
    package var message: String

    package init(index: Int? = nil, typeURL: String = "", name: String = "", field: String = "", _ message: String) {
        self.index = index
        self.typeURL = typeURL
        self.name = name
        self.field = field
        self.message = message
    }
}

/// Either the whole of it, or everything that is wrong.
package enum SnapshotReading: Sendable {
    case read(SnapshotBody)
    /// It is not even JSON, or no message: nothing more can be said.
    case malformed(SnapshotFault)
    case invalid([SnapshotFault])
}

/// Reads a snapshot in Protobuf's JSON form. `typeURL`: all resources must be of this type; nil: of any that is known.
package func readSnapshot(json bytes: [UInt8], typeURL: String?, descriptors: DescriptorSet) -> SnapshotReading {
    let tree: JSONValue
    do throws(JSONFailure) {
        tree = try parseJSON(bytes)
    } catch {
        return .malformed(SnapshotFault("line \(line(of: error.offset, in: bytes)): \(error.reason)"))
    }
    var reader = SnapshotReader(descriptors: descriptors, onlyType: typeURL)
    reader.read(tree)
    return reader.result
}

/// Reads a snapshot as an encoded `envoy.service.discovery.v3.DiscoveryResponse`.
package func readSnapshot(protobuf bytes: [UInt8], typeURL: String?, descriptors: DescriptorSet) -> SnapshotReading {
    var reader = SnapshotReader(descriptors: descriptors, onlyType: typeURL)
    do throws(WireError) {
        try reader.read(bytes.span)
    } catch {
        return .malformed(SnapshotFault("the bytes are no envoy.service.discovery.v3.DiscoveryResponse: \(error)"))
    }
    return reader.result
}

/// `3, column 7`.
private func line(of offset: Int, in bytes: [UInt8]) -> String {
    let before = bytes.prefix(offset)
    let line = before.count { $0 == UInt8(ascii: "\n") } + 1
    let start = before.lastIndex(of: UInt8(ascii: "\n")).map { $0 + 1 } ?? 0
    return "\(line), column \(offset - start + 1)"
}

/// Collects resources and faults.
private struct SnapshotReader {
    /// Beyond these no more is looked for.
    private static let faultsMax = 100

    private let descriptors: DescriptorSet
    private let onlyType: String?
    private var body = SnapshotBody()
    private var faults: [SnapshotFault] = []
    private var seen: [String: Int] = [:]

    init(descriptors: DescriptorSet, onlyType: String?) {
        self.descriptors = descriptors
        self.onlyType = onlyType
    }

    var result: SnapshotReading { self.faults.isEmpty ? .read(self.body) : .invalid(self.faults) }

    private mutating func note(_ fault: SnapshotFault) {
        if !self.isFull { self.faults.append(fault) }
    }

    private var isFull: Bool { self.faults.count >= Self.faultsMax }

    // MARK: JSON

    mutating func read(_ tree: JSONValue) {
        guard case .object(let members) = tree else {
            return self.note(SnapshotFault("expected an object with \"resources\""))
        }
        let known = ["version_info", "resources", "type_url", "nonce", "canary", "control_plane"]
        var given: Set<String> = []
        for member in members {
            let name = snakeCase(member.name)
            if !known.contains(name) {
                let hint = nearestName(to: member.name, among: known).map { "; did you mean \"\($0)\"?" } ?? ""
                self.note(SnapshotFault(field: member.name, "unknown field\(hint)"))
            } else if !given.insert(name).inserted {
                self.note(SnapshotFault(field: member.name, "the field is repeated"))
            }
            switch (name, member.value) {
            case ("version_info", .string(let version)): self.take(version: version)
            case ("version_info", let value) where value != .null:
                self.note(SnapshotFault(field: member.name, "expected text"))
            case ("type_url", .string(let url)): self.check(typeOfAll: url)
            case ("resources", .array(let elements)):
                for (index, element) in elements.enumerated() where !self.isFull { self.read(element, at: index) }
            case ("resources", let value) where value != .null:
                self.note(SnapshotFault(field: member.name, "expected a list"))
            default: break
            }
        }
        // `{}` for "nothing at all" would be too easy a slip.
        if !given.contains("resources") {
            self.note(
                SnapshotFault(field: "resources", "missing: a list of resources with \"@type\", which may be empty"))
        }
    }

    private mutating func read(_ element: JSONValue, at index: Int) {
        guard case .object = element else { return self.fail(index, "expected a resource, an object with \"@type\"") }
        guard let url = element["@type"]?.string, !url.isEmpty else {
            return self.fail(index, field: "@type", "missing, or no text: what the resource is")
        }
        if url == XDSType.wrapperURL {
            guard let inner = element["resource"], let innerURL = inner["@type"]?.string else {
                return self.fail(index, field: "resource", "the wrapper has no \"resource\" with \"@type\"")
            }
            return self.encode(inner, innerURL, element["name"]?.string ?? "", index, nameField: "name")
        }
        let field = url == XDSType.eds.typeURL ? "cluster_name" : "name"
        let name = (element[field] ?? (field == "cluster_name" ? element["clusterName"] : nil))?.string ?? ""
        self.encode(element, url, name, index, nameField: field)
    }

    private mutating func encode(
        _ element: JSONValue, _ url: String, _ name: String, _ index: Int, nameField: String
    ) {
        guard self.accept(url, name, index, nameField) else { return }
        var json = JSONWriter()
        JSONValue.object(element.members.filter { $0.name != "@type" }).write(to: &json)
        do throws(ProtobufError) {
            let value = try self.descriptors.encode(
                json: String(decoding: json.bytes, as: UTF8.self), typeURL: url)
            self.add(url, name, value, index)
        } catch {
            let (field, message) = fieldAndMessage(error.description)
            self.fail(index, type: url, name: name, field: field, message)
        }
    }

    // MARK: Protobuf

    mutating func read(_ message: borrowing Span<UInt8>) throws(WireError) {
        var reader = WireReader(ByteRange(offset: 0, count: message.count))
        var index = 0
        while let field = try reader.next(in: message) {
            switch field.number {
            case 1: self.take(version: message.string(try field.bytes()))
            case 2:
                let any = try AnyEnvelope(decoding: try field.bytes(), in: message)
                if !self.isFull { try self.read(any, at: index, in: message) }
                index += 1
            case 4: self.check(typeOfAll: message.string(try field.bytes()))
            // Nothing that is counted on may be lost: what is not known here is refused, as it is in JSON.
            case 3, 5, 6: break
            default: self.note(SnapshotFault(field: String(field.number), "unknown field"))
            }
            if self.isFull { return }
        }
    }

    private mutating func read(_ any: AnyEnvelope, at index: Int, in message: borrowing Span<UInt8>) throws(WireError) {
        var url = message.string(any.typeURL)
        var value = any.value
        var name = ""
        if url == XDSType.wrapperURL {
            let wrapper = try ResourceEnvelope(decoding: value, in: message)
            guard let inner = wrapper.resource else {
                return self.fail(index, field: "resource", "the wrapper has no resource")
            }
            name = message.string(wrapper.name)
            let content = try AnyEnvelope(decoding: inner, in: message)
            (url, value) = (message.string(content.typeURL), content.value)
        } else if let field = XDSType.of(typeURL: url).nameField {
            var reader = WireReader(value)
            while let part = try reader.next(in: message) {
                if part.number == field { name = message.string(try part.bytes()) }
            }
        }
        guard self.accept(url, name, index, "name") else { return }
        let bytes = message.array(value)
        do throws(ProtobufError) {
            try self.descriptors.check(typeURL: url, bytes: bytes)
            self.add(url, name, bytes, index)
        } catch {
            self.fail(index, type: url, name: name, error.description)
        }
    }

    // MARK: Both

    private mutating func fail(
        _ index: Int, type url: String = "", name: String = "", field: String = "", _ message: String
    ) {
        self.note(SnapshotFault(index: index, typeURL: url, name: name, field: field, message))
    }

    private mutating func take(version: String) {
        self.body.version = version
        if version.utf8.count > SnapshotBody.versionBytesMax {
            self.note(
                SnapshotFault(field: "version_info", "longer than \(SnapshotBody.versionBytesMax) bytes"))
        }
    }

    private mutating func check(typeOfAll url: String) {
        guard let only = self.onlyType, !url.isEmpty, url != only else { return }
        self.note(SnapshotFault(field: "type_url", "\"\(url)\" is not the type of the path, \"\(only)\""))
    }

    /// Whether a resource can have this type and this name here.
    private mutating func accept(_ url: String, _ name: String, _ index: Int, _ nameField: String) -> Bool {
        guard self.descriptors.knows(typeURL: url) else {
            self.fail(index, type: url, name: name, field: "@type", "unknown type \"\(url)\"")
            return false
        }
        let whole = XDSType.prefix + (url.split(separator: "/").last.map(String.init) ?? url)
        guard url == whole else {
            // No client would ever subscribe to it.
            self.fail(index, type: url, name: name, field: "@type", "the type is to be written as \"\(whole)\"")
            return false
        }
        if let only = self.onlyType, url != only {
            self.fail(index, type: url, name: name, field: "@type", "it is not of the type of the path, \"\(only)\"")
            return false
        }
        guard !name.isEmpty, name.utf8.count <= SnapshotBody.nameBytesMax else {
            let why =
                name.isEmpty
                ? "missing; a resource without a name of its own needs a \"\(XDSType.wrapperURL)\" around it"
                : "longer than \(SnapshotBody.nameBytesMax) bytes"
            self.fail(index, type: url, field: nameField, why)
            return false
        }
        if let first = self.seen["\(url) \(name)"] {
            self.fail(index, type: url, name: name, "it is here twice: also resources[\(first)]")
            return false
        }
        self.seen["\(url) \(name)"] = index
        return true
    }

    private mutating func add(_ url: String, _ name: String, _ value: [UInt8], _ index: Int) {
        if self.descriptors.holdsRedacted(typeURL: url, bytes: value) {
            return self.fail(
                index, type: url, name: name,
                "a secret in it reads \"[redacted]\", as it is shown: put the real one, or replace other types only")
        }
        var any = WireWriter(reserving: value.count + url.utf8.count + 16)
        any.string(1, url)
        if !value.isEmpty { any.message(2, value) }
        self.body.resources.append(LoadedResource(typeURL: url, name: name, any: any.bytes))
    }
}

/// Takes apart what libprotobuf says of JSON: `(load_assignment.endpoints[0]): nmae: Cannot find field.` or
/// `nmae: Cannot find field.` at the top.
func fieldAndMessage(_ text: String) -> (field: String, message: String) {
    var rest = text[...]
    if let code = rest.firstRange(of: "INVALID_ARGUMENT:") { rest = rest[code.upperBound...] }
    var path = ""
    if rest.first == "(", let close = rest.firstIndex(of: ")") {
        path = String(rest[rest.index(after: rest.startIndex)..<close])
        rest = rest[rest.index(after: close)...].drop { $0 == ":" || $0 == " " }
    }
    let parts = rest.split(separator: ":", maxSplits: 1)
    guard parts.count == 2, parts[0].allSatisfy({ $0.isLetter || $0.isNumber || $0 == "_" || $0 == "@" }) else {
        return (path, String(rest))
    }
    let field = path.isEmpty ? String(parts[0]) : "\(path).\(parts[0])"
    return (field, String(parts[1].drop { $0 == " " }))
}

/// `versionInfo` as `version_info`.
private func snakeCase(_ name: String) -> String {
    name.reduce(into: "") { $0 += $1.isUppercase ? "_" + $1.lowercased() : String($1) }
}
