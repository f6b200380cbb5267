import WeirBase

/// The files of a `google.protobuf.FileDescriptorSet`, to be found by name and by what they define: what server
/// reflection answers from. Immutable.
///
/// Nothing is decoded but names. A symbol is looked for in the files of its package when it is asked for, so that the
/// memory is that of the set and of one entry for each file.
package struct DescriptorCatalog: Sendable {
    package struct File: Sendable {
        package let name: String
        let package: String
        let dependencies: [String]
        /// The `FileDescriptorProto` in the set's bytes.
        let range: ByteRange
    }

    package let files: [File]
    private let bytes: [UInt8]
    private let byName: [String: Int]
    private let byPackage: [String: [Int]]
    /// Extended message → number of the extension → file that defines it.
    private let extensions: [String: [Int: Int]]

    /// Messages nest no deeper than this; what is below is not found.
    private static let depthMax = 32

    package init(fileDescriptorSet bytes: [UInt8]) throws(WireError) {
        var scan = DescriptorScan()
        try scan.read(bytes.span)
        self.bytes = bytes
        self.files = scan.files
        self.extensions = scan.extensions
        var byName: [String: Int] = [:]
        var byPackage: [String: [Int]] = [:]
        for (index, file) in scan.files.enumerated() {
            byName[file.name] = index
            byPackage[file.package, default: []].append(index)
        }
        self.byName = byName
        self.byPackage = byPackage
    }

    /// The `FileDescriptorProto` of a file.
    package func encoded(_ file: Int) -> [UInt8] {
        let range = self.files[file].range
        return Array(self.bytes[range.offset..<range.end])
    }

    /// The file of a name, such as `envoy/config/cluster/v3/cluster.proto`.
    package func file(named name: String) -> Int? { self.byName[name] }

    /// The file and all it depends on, nearest first, each once. Dependencies that the set lacks are left out.
    package func closure(of file: Int) -> [Int] {
        var found = [file]
        var seen: Set<Int> = [file]
        var next = 0
        while next < found.count {
            for name in self.files[found[next]].dependencies {
                if let index = self.byName[name], seen.insert(index).inserted { found.append(index) }
            }
            next += 1
        }
        return found
    }

    /// The file that defines a message, field, enum, enum value, service, method or extension of this full name.
    package func file(defining symbol: String) -> Int? {
        let parts = symbol.drop { $0 == "." }.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count <= Self.depthMax, !parts.contains("") else { return nil }
        // The longest package first: `a.b` may be a package, or a message of package `a`.
        for count in stride(from: parts.count - 1, through: 0, by: -1) {
            let files = self.byPackage[parts[..<count].joined(separator: ".")] ?? []
            if let file = files.first(where: { self.defines(parts[count...], in: $0) }) { return file }
        }
        return nil
    }

    /// The file that defines the extension of a message by its number.
    package func file(extending message: String, number: Int) -> Int? { self.extensions[message]?[number] }

    /// Numbers of all extensions of a message, rising; nil if there is no such message.
    package func extensionNumbers(of message: String) -> [Int]? {
        if let known = self.extensions[message] { return known.keys.sorted() }
        return self.file(defining: message) == nil ? nil : []
    }

    private func defines(_ parts: ArraySlice<Substring>, in file: Int) -> Bool {
        (try? Self.defines(parts, .file, self.files[file].range, self.bytes.span)) ?? false
    }

    private static func defines(
        _ parts: ArraySlice<Substring>, _ scope: DescriptorScope, _ range: ByteRange, _ bytes: borrowing Span<UInt8>
    ) throws(WireError) -> Bool {
        guard let first = parts.first else { return true }
        let rest = parts.dropFirst()
        var reader = WireReader(range)
        while let field = try reader.next(in: bytes) {
            guard let inner = scope.child(field.number) else { continue }
            let content = try field.bytes()
            if try DescriptorScan.name(content, bytes) == first, try self.defines(rest, inner, content, bytes) {
                return true
            }
            // Values of an enum stand beside it, not in it.
            if inner == .enumeration, try self.defines(parts, .enumeration, content, bytes) { return true }
        }
        return false
    }
}

/// What can hold named things, by the fields of `descriptor.proto`.
enum DescriptorScope {
    case file, message, enumeration, service, leaf

    func child(_ field: Int) -> DescriptorScope? {
        switch (self, field) {
        case (.file, 4), (.message, 3): .message
        case (.file, 5), (.message, 4): .enumeration
        case (.file, 6): .service
        // Extensions, fields, oneofs, values, methods.
        case (.file, 7), (.message, 2), (.message, 6), (.message, 8), (.enumeration, 2), (.service, 2): .leaf
        default: nil
        }
    }

    /// The field with extensions that are defined here.
    var extensionField: Int? {
        switch self {
        case .file: 7
        case .message: 6
        default: nil
        }
    }
}

/// One pass over a descriptor set.
private struct DescriptorScan {
    var files: [DescriptorCatalog.File] = []
    var extensions: [String: [Int: Int]] = [:]

    mutating func read(_ bytes: borrowing Span<UInt8>) throws(WireError) {
        var reader = WireReader(ByteRange(offset: 0, count: bytes.count))
        while let field = try reader.next(in: bytes) {
            guard field.number == 1 else { continue }
            let content = try field.bytes()
            try self.readFile(content, bytes)
            try self.readExtensions(.file, content, bytes, depth: 0)
        }
    }

    private mutating func readFile(_ range: ByteRange, _ bytes: borrowing Span<UInt8>) throws(WireError) {
        var name = ""
        var package = ""
        var dependencies: [String] = []
        var reader = WireReader(range)
        while let field = try reader.next(in: bytes) {
            switch field.number {
            case 1: name = bytes.string(try field.bytes())
            case 2: package = bytes.string(try field.bytes())
            case 3: dependencies.append(bytes.string(try field.bytes()))
            default: break
            }
        }
        self.files.append(
            DescriptorCatalog.File(name: name, package: package, dependencies: dependencies, range: range))
    }

    private mutating func readExtensions(
        _ scope: DescriptorScope, _ range: ByteRange, _ bytes: borrowing Span<UInt8>, depth: Int
    ) throws(WireError) {
        guard depth < 32 else { return }
        var reader = WireReader(range)
        while let field = try reader.next(in: bytes) {
            if field.number == scope.extensionField {
                try self.readExtension(try field.bytes(), bytes)
            } else if scope.child(field.number) == .message {
                try self.readExtensions(.message, try field.bytes(), bytes, depth: depth + 1)
            }
        }
    }

    private mutating func readExtension(_ range: ByteRange, _ bytes: borrowing Span<UInt8>) throws(WireError) {
        var extended = ""
        var number = 0
        var reader = WireReader(range)
        while let field = try reader.next(in: bytes) {
            switch field.number {
            case 2: extended = bytes.string(try field.bytes())
            case 3: number = Int(truncatingIfNeeded: try field.varint())
            default: break
            }
        }
        self.extensions[String(extended.drop { $0 == "." }), default: [:]][number] = self.files.count - 1
    }

    /// The name of anything that has one: always the first field.
    static func name(_ range: ByteRange, _ bytes: borrowing Span<UInt8>) throws(WireError) -> String {
        var reader = WireReader(range)
        while let field = try reader.next(in: bytes) {
            if field.number == 1 { return bytes.string(try field.bytes()) }
        }
        return ""
    }
}
