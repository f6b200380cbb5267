import WeirHash

/// A group: a key of an upstream.
package struct StoreGroup: Hashable, Comparable, Sendable {
    package var upstream: String
    package var key: String

    package init(upstream: String, key: String) {
        self.upstream = upstream
        self.key = key
    }

    package static func < (a: StoreGroup, b: StoreGroup) -> Bool { (a.upstream, a.key) < (b.upstream, b.key) }
}

/// The keys of the database; see the format in Records.swift.
enum StoreKeys {
    static let meta = Array("M".utf8)
    static let types = Array("T".utf8)
    static let ages = Array("A".utf8)
    static let resources = Array("R".utf8)

    static func type(_ id: UInt64) -> [UInt8] { self.types + bigEndian(id) }
    static func age(_ id: UInt64) -> [UInt8] { self.ages + bigEndian(id) }
    static func resources(_ id: UInt64) -> [UInt8] { self.resources + bigEndian(id) }

    static func lane(_ id: UInt64, isWildcard: Bool) -> [UInt8] { self.resources(id) + [isWildcard ? 0 : 1] }

    /// Bytes of a name that fit whole into a key, of which LMDB takes 511.
    private static let nameMax = 480
    private static let prefixMax = 460

    static func resource(_ id: UInt64, isWildcard: Bool, name: String) -> [UInt8] {
        let utf8 = Array(name.utf8)
        let lane = self.lane(id, isWildcard: isWildcard)
        if utf8.count <= self.nameMax { return lane + utf8 }
        // A byte that no text has, so that no short name looks like a long one.
        let hash = ContentHash(of: name)
        return lane + utf8.prefix(self.prefixMax) + [0xFF] + bigEndian(hash.high) + bigEndian(hash.low)
    }

    /// The number in a key; nil if there is none.
    static func id(of key: [UInt8]) -> UInt64? {
        guard key.count >= 9 else { return nil }
        return key[1..<9].reduce(0) { $0 << 8 | UInt64($1) }
    }
}

/// Encrypts what is stored. Every sealed text is bound to the place it belongs to.
package protocol StoreCipher: Sendable {
    /// Nil if it cannot be done.
    func seal(_ plain: [UInt8], boundTo place: [UInt8]) -> [UInt8]?
    /// Nil if it was not sealed with this key for this place.
    func open(_ sealed: [UInt8], boundTo place: [UInt8]) -> [UInt8]?
}

/// The body of a resource's value: a byte that says how the rest is to be read.
struct ResourceBody {
    private static let plain: UInt8 = 0
    private static let encrypted: UInt8 = 1

    let cipher: (any StoreCipher)?

    func seal(_ record: [UInt8], key: [UInt8]) throws(StoreError) -> [UInt8] {
        guard let cipher = self.cipher else { return [Self.plain] + record }
        guard let sealed = cipher.seal(record, boundTo: key) else {
            throw StoreError(.key, "a record cannot be encrypted")
        }
        return [Self.encrypted] + sealed
    }

    func open(_ body: [UInt8], key: [UInt8]) throws(StoreError) -> [UInt8] {
        switch body.first {
        case Self.plain: return Array(body.dropFirst())
        case Self.encrypted:
            guard let cipher = self.cipher else {
                throw StoreError(.key, "a record is encrypted, and there is no encryption_key")
            }
            guard let record = cipher.open(Array(body.dropFirst()), boundTo: key) else {
                throw StoreError(.key, "a record cannot be decrypted with this encryption_key")
            }
            return record
        default: throw StoreError(.damaged, "a record of no known kind")
        }
    }

    static func isEncrypted(_ body: [UInt8]) -> Bool { body.first == self.encrypted }
}
