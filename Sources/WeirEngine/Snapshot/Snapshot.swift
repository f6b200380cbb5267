import WeirBase
package import WeirHash
import WeirXDS

/// One resource for a snapshot: what it is called, and its bytes.
package struct SnapshotResource: Hashable, Sendable {
    package var typeURL: String
    package var name: String
    /// The content of its `google.protobuf.Any`.
    package var any: [UInt8]

    package init(typeURL: String, name: String, any: [UInt8]) {
        self.typeURL = typeURL
        self.name = name
        self.any = any
    }
}

/// Everything that an origin within the process has for one key at one moment. An immutable value: who changes a copy
/// changes nothing of the others, and what is equal in both is held once.
///
/// A *whole* snapshot says everything: a type that it does not have is known to be empty. One that was put together type by
/// type says nothing of the others, and clients of these go on waiting.
package struct Snapshot: Sendable {
    /// All resources of one type.
    package struct Content: Sendable {
        /// What the origin calls this state of the type.
        package let version: String
        package fileprivate(set) var resources: [String: Resource]
        /// A digest of names and content; the version is no part of it.
        package let digest: ContentHash
        /// Bytes of the resources, encoded.
        package let bytes: Int
    }

    /// By type URL.
    package private(set) var contents: [String: Content] = [:]
    package private(set) var isWhole = false
    /// Types that were forgotten of a whole snapshot: nothing is known of them, by URL.
    package private(set) var unknown: Set<String> = []
    /// What a whole snapshot is called, also where single types have been replaced since. Empty where it never was whole.
    package private(set) var version = ""

    /// Says nothing of any type so far.
    package init() {}

    /// A whole snapshot. With an empty `version` one is made of the content: the same in every process. Of several resources
    /// with one name the last counts.
    package init(_ resources: [SnapshotResource], version: String = "") {
        let byType = Dictionary(grouping: resources, by: \.typeURL)
        let made = byType.mapValues { Self.resources($0) }
        var digest = ContentHash.zero
        for (typeURL, resources) in made {
            digest.add(ContentHash(of: typeURL).followed(by: Self.digest(of: resources)))
        }
        self.version = version.isEmpty ? digest.shortHex : version
        self.isWhole = true
        for (typeURL, resources) in made { self.contents[typeURL] = Self.content(resources, self.version) }
    }

    /// Replaces one type; the others stay. With an empty `version` one is made of the content. Resources of another type are
    /// left out.
    package mutating func set(_ resources: [SnapshotResource], ofType typeURL: String, version: String = "") {
        self.contents[typeURL] = Self.content(Self.resources(resources.filter { $0.typeURL == typeURL }), version)
        self.unknown.remove(typeURL)
    }

    /// Replaces one type by what another snapshot says of it.
    package mutating func take(_ typeURL: String, from other: Snapshot) {
        self.contents[typeURL] = other.contents[typeURL]
        self.unknown.remove(typeURL)
    }

    /// Takes over what was made elsewhere, as from disk.
    package init(
        contents: [String: (version: String, resources: [Resource])], version: String, isWhole: Bool,
        unknown: Set<String> = []
    ) {
        self.version = version
        self.isWhole = isWhole
        self.unknown = unknown
        for (typeURL, content) in contents {
            let named = Dictionary(content.resources.map { ($0.name, $0) }, uniquingKeysWith: { $1 })
            self.contents[typeURL] = Self.content(named, content.version)
        }
    }

    /// Says nothing of a type any more; of the others it says what it said.
    package mutating func forget(typeURL: String) {
        self.contents[typeURL] = nil
        if self.isWhole { self.unknown.insert(typeURL) }
    }

    /// What is known of a type: nil if nothing is; without resources, that there are none.
    package func content(ofType typeURL: String) -> Content? {
        if let content = self.contents[typeURL] { return content }
        return self.isWhole && !self.unknown.contains(typeURL) ? Self.content([:], self.version) : nil
    }

    /// Bytes of all resources, encoded.
    package var bytes: Int { self.contents.values.reduce(0) { $0 + $1.bytes } }
    package var resourceCount: Int { self.contents.values.reduce(0) { $0 + $1.resources.count } }

    /// A digest of everything there is to see: content, versions, and whether it is whole.
    package var digest: ContentHash {
        let unknown = self.unknown.sorted().joined(separator: " ")
        var digest = ContentHash(of: self.isWhole ? "whole \(self.version) \(unknown)" : "part")
        for (typeURL, content) in self.contents {
            digest.add(ContentHash(of: typeURL).followed(by: content.tag))
        }
        return digest
    }

    /// Takes the objects of an older snapshot where the content is the same, so that both hold them once.
    package mutating func share(with old: Snapshot?) {
        guard let old else { return }
        for (typeURL, content) in self.contents {
            guard let before = old.contents[typeURL] else { continue }
            if before.digest == content.digest {
                self.contents[typeURL]?.resources = before.resources
                continue
            }
            for (name, resource) in content.resources {
                guard let held = before.resources[name], held.isSame(as: resource) else { continue }
                self.contents[typeURL]?.resources[name] = held
            }
        }
    }

    private static func resources(_ resources: [SnapshotResource]) -> [String: Resource] {
        var made: [String: Resource] = [:]
        for resource in resources {
            made[resource.name] = Resource(
                name: resource.name, version: nil, type: XDSType.of(typeURL: resource.typeURL),
                any: ByteRange(offset: 0, count: resource.any.count), in: resource.any.span)
        }
        return made
    }

    private static func digest(of resources: [String: Resource]) -> ContentHash {
        var digest = ContentHash.zero
        for (name, resource) in resources { digest.add(ContentHash(of: name).followed(by: resource.hash)) }
        return digest
    }

    private static func content(_ resources: [String: Resource], _ version: String) -> Content {
        let digest = Self.digest(of: resources)
        return Content(
            version: version.isEmpty ? digest.shortHex : version, resources: resources, digest: digest,
            bytes: resources.values.reduce(0) { $0 + $1.encoded.count })
    }
}

extension Snapshot.Content {
    /// A digest of content and version.
    package var tag: ContentHash { self.digest.followed(by: ContentHash(of: self.version)) }
}

extension Resource {
    /// Whether clients see no difference but, perhaps, the object.
    package func isSame(as other: Resource) -> Bool {
        self === other || self.hash == other.hash && self.version == other.version && self.name == other.name
    }
}
