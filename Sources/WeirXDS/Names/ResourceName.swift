/// What the transport must understand of resource names. Old-style names are opaque (NAME-01); names of the `xdstp:`
/// scheme have context parameters and may be glob collections.
///
/// Source: xRFC TP1, "URI based xDS resource names".
package enum ResourceName {
    private static let scheme = "xdstp:"

    private static func isStructured(_ name: String) -> Bool { name.utf8.starts(with: Self.scheme.utf8) }

    /// The form under which names are compared: `xdstp:` names are equal whatever the order of their context parameters
    /// (NAME-02); it is also what clients that know such names ask for. Other names are as they are.
    package static func canonical(_ name: String) -> String {
        guard Self.isStructured(name), let mark = name.utf8.firstIndex(of: UInt8(ascii: "?")) else { return name }
        let end = name.utf8.firstIndex(of: UInt8(ascii: "#")) ?? name.endIndex
        let start = name.utf8.index(after: mark)
        guard start <= end else { return name }
        let parameters = name[start..<end].split(separator: "&", omittingEmptySubsequences: false)
        let sorted = parameters.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
        if sorted == parameters { return name }
        return name[..<start] + sorted.joined(separator: "&") + name[end...]
    }

    /// Who is in charge of an `xdstp://` name (NAME-07); nil of a name that has none.
    package static func authority(of name: String) -> Substring? {
        guard Self.isStructured(name) else { return nil }
        let rest = Self.path(of: name).dropFirst(Self.scheme.utf8.count)
        guard rest.utf8.starts(with: "//".utf8) else { return nil }
        let authority = rest.dropFirst(2).prefix { $0 != "/" }
        return authority.isEmpty ? nil : authority
    }

    /// Whether the name stands for a glob collection: all resources in a directory with the same context parameters
    /// (NAME-03). Endpoints of localities come in collections whatever the form of their names (NAME-12).
    package static func isGlob(_ name: String, type: XDSType) -> Bool {
        guard type == .leds || Self.isStructured(name) else { return false }
        let path = Self.path(of: name)
        return path.utf8.count > 2 && path.utf8.suffix(2).elementsEqual("/*".utf8)
    }

    /// The glob collection of the directory in which a name stands; nil if it is in none.
    package static func collection(of name: String, type: XDSType) -> String? {
        guard type == .leds || Self.isStructured(name) else { return nil }
        return Self.glob(at: Self.path(of: name), of: name)
    }

    /// The glob collection one directory above another; nil at the top.
    package static func parent(ofGlob name: String) -> String? {
        Self.glob(at: Self.path(of: name).dropLast(2), of: name)
    }

    /// Everything before the context parameters.
    private static func path(of name: String) -> Substring {
        let end = name.utf8.firstIndex { $0 == UInt8(ascii: "?") || $0 == UInt8(ascii: "#") }
        return name[..<(end ?? name.endIndex)]
    }

    /// `xdstp://authority/type/dir/name` is in `xdstp://authority/type/dir/*`; what has fewer segments is in nothing.
    private static func glob(at path: Substring, of name: String) -> String? {
        guard let slash = path.utf8.lastIndex(of: UInt8(ascii: "/")), slash > path.startIndex else { return nil }
        let slashes = path.utf8.count { $0 == UInt8(ascii: "/") }
        if Self.isStructured(name), slashes < 4 { return nil }
        return path[..<slash] + "/*" + name[Self.path(of: name).endIndex...]
    }
}
