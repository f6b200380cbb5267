import Glibc
package import WeirBase
import WeirXDS

/// What a store is opened with.
package struct StoreOptions: Sendable {
    /// The most bytes that the file may have.
    package var bytesMax = 1 << 30
    /// Nil: nothing is encrypted.
    package var cipher: (any StoreCipher)?
    /// Written into new files, for people.
    package var program = ""

    package init() {}
}

/// What was found when a store was opened.
package struct StoreOpening {
    package var store: Store
    /// The new name of a file that could not be used, and why.
    package var setAside: (path: String, reason: StoreError)?
    /// Why nothing can be written; nil: it can.
    package var isReadOnlyBecause: StoreError?
}

/// One type of a group as it was stored.
package struct StoredType: Sendable {
    package var typeURL: String
    package var record: TypeRecord
    package var resources: [ResourceRecord]
}

/// What is to be written of one type of a group.
package struct StoreChange: Sendable {
    package enum Resource: Sendable {
        case put(ResourceRecord)
        case delete(name: String, isWildcard: Bool)
    }

    package var key: StoreKey
    /// Nil: it stays. A lane that it has not stays too.
    package var record: TypeRecord?
    /// Whether resources of the wildcard that are not put here are to go.
    package var replacesWildcard: Bool
    package var resources: [Resource]
    /// Whether the type is to go, with all its resources.
    package var isRemoval = false

    package init(removing key: StoreKey) {
        self.init(key: key, record: nil, replacesWildcard: false, resources: [])
        self.isRemoval = true
    }

    package init(key: StoreKey, record: TypeRecord?, replacesWildcard: Bool, resources: [Resource]) {
        self.key = key
        self.record = record
        self.replacesWildcard = replacesWildcard
        self.resources = resources
    }
}

/// The last good state of every group on disk.
///
/// One record for each resource, so that a change costs what changed. What belongs together is written in one
/// transaction: after a crash at any moment the file holds what was committed, whole. All calls block on the disk;
/// confined to one thread.
package final class Store {
    package let path: String
    package let isReadOnly: Bool
    let database: Database
    let body: ResourceBody
    private let lock: CInt
    private var ids: [StoreKey: UInt64] = [:]
    private var used: [UInt64: WallTime] = [:]
    private var nextID: UInt64 = 1
    private let bytesMax: Int

    private init(path: String, options: StoreOptions, isReadOnly: Bool, lock: CInt) throws(StoreError) {
        self.path = path
        self.isReadOnly = isReadOnly
        self.lock = lock
        self.body = ResourceBody(cipher: options.cipher)
        self.bytesMax = options.bytesMax
        self.database = try Database(path: path, mapSize: options.bytesMax, isReadOnly: isReadOnly)
        do throws(StoreError) {
            try self.readMeta(options.program)
            try self.readIndex()
        } catch {
            self.database.close()
            throw error
        }
    }

    /// No use after this.
    package func close() {
        self.database.close()
        if self.lock >= 0 { _ = Glibc.close(self.lock) }
    }

    /// Bytes of what is stored.
    package var bytes: Int { self.database.bytes }
    /// The types of a group, by URL.
    package func typeURLs(of group: StoreGroup) -> Set<String> {
        Set(self.ids.keys.filter { $0.upstream == group.upstream && $0.key == group.key }.map(\.typeURL))
    }

    package var groups: Set<StoreGroup> { Set(self.ids.keys.map { StoreGroup(upstream: $0.upstream, key: $0.key) }) }

    // MARK: Opening

    /// Opens the store in a folder, which is made if need be.
    ///
    /// `check` looks at a file that is there, and throws if it is damaged or foreign; then that file is renamed and the
    /// store begins empty.
    package static func open(
        folder: String, options: StoreOptions, now: WallTime, check: (String) throws(StoreError) -> Void
    ) throws(StoreError) -> StoreOpening {
        let path = folder + "/" + StoreFile.name
        var lock: CInt = -1
        var readOnly: StoreError?
        do throws(StoreError) {
            try StoreFile.makeFolder(folder)
            lock = try StoreFile.lock(folder)
        } catch {
            // A store that cannot be written is still good for reading.
            guard error.kind == .open, StoreFile.exists(path) else { throw error }
            readOnly = error
        }
        do throws(StoreError) {
            return try self.open(path, options, now, lock, readOnly, check)
        } catch {
            if lock >= 0 { _ = Glibc.close(lock) }
            throw error
        }
    }

    private static func open(
        _ path: String, _ options: StoreOptions, _ now: WallTime, _ lock: CInt, _ readOnly: StoreError?,
        _ check: (String) throws(StoreError) -> Void
    ) throws(StoreError) -> StoreOpening {
        var readOnly = readOnly
        var refused: StoreError
        do throws(StoreError) {
            if StoreFile.exists(path) {
                try StoreFile.checkHead(path)
                try check(path)
            }
            do throws(StoreError) {
                let store = try Store(path: path, options: options, isReadOnly: readOnly != nil, lock: lock)
                return StoreOpening(store: store, isReadOnlyBecause: readOnly)
            } catch {
                guard error.kind == .open, readOnly == nil, StoreFile.exists(path) else { throw error }
                readOnly = error
                let store = try Store(path: path, options: options, isReadOnly: true, lock: lock)
                return StoreOpening(store: store, isReadOnlyBecause: error)
            }
        } catch {
            refused = error
        }
        guard refused.kind == .damaged || refused.kind == .foreign, readOnly == nil else { throw refused }
        let target = try StoreFile.setAside(path, at: now)
        let store = try Store(path: path, options: options, isReadOnly: false, lock: lock)
        return StoreOpening(store: store, setAside: (target, refused))
    }

    /// Opens a store for looking at it only, whoever else uses it.
    package static func openForReading(
        path: String, cipher: (any StoreCipher)? = nil
    ) throws(StoreError) -> Store {
        try StoreFile.checkHead(path)
        var options = StoreOptions()
        options.cipher = cipher
        return try Store(path: path, options: options, isReadOnly: true, lock: -1)
    }

    private func readMeta(_ program: String) throws(StoreError) {
        let value = try self.database.read { transaction throws(StoreError) in try transaction.get(StoreKeys.meta) }
        if let value = value { return try MetaRecord.check(value, path: self.path) }
        guard try self.isEmpty() else { throw StoreError(.foreign, "\(self.path) is a database of something else") }
        guard !self.isReadOnly else { throw StoreError(.foreign, "\(self.path) is empty") }
        try self.database.write { transaction throws(StoreError) in
            try transaction.put(StoreKeys.meta, MetaRecord.value(program: program))
        }
    }

    private func isEmpty() throws(StoreError) -> Bool {
        try self.database.read { transaction throws(StoreError) in try !transaction.hasAny() }
    }

    private func readIndex() throws(StoreError) {
        try self.database.read { transaction throws(StoreError) in
            try transaction.each(StoreKeys.types) { key, value throws(StoreError) in
                guard let id = StoreKeys.id(of: key) else { return }
                self.nextID = max(self.nextID, id &+ 1)
                guard let body = Sealed.open(value, key: key), let decoded = try? TypeRecord.decode(body) else {
                    throw StoreError(.damaged, "the record of type \(id) is damaged")
                }
                self.ids[decoded.key] = id
            }
            try transaction.each(StoreKeys.ages) { key, value throws(StoreError) in
                guard let id = StoreKeys.id(of: key), let age = MetaRecord.age(value, key: key) else { return }
                self.used[id] = age
            }
        }
    }

    // MARK: Reading

    /// What is stored of a group, and how many records could not be used, with the reason of the first of them.
    package func read(_ group: StoreGroup) throws(StoreError) -> (types: [StoredType], unusable: Int, why: StoreError?)
    {
        var types: [StoredType] = []
        var unusable = 0
        var why: StoreError?
        let ids = self.ids.filter { $0.key.upstream == group.upstream && $0.key.key == group.key }
        try self.database.read { transaction throws(StoreError) in
            for (key, id) in ids.sorted(by: { $0.value < $1.value }) {
                guard let record = try self.typeRecord(id, transaction) else { continue }
                var type = StoredType(typeURL: key.typeURL, record: record, resources: [])
                try transaction.each(StoreKeys.resources(id)) { key, value throws(StoreError) in
                    do throws(StoreError) {
                        type.resources.append(try self.resource(key, value))
                    } catch {
                        unusable += 1
                        why = why ?? error
                    }
                }
                types.append(type)
            }
        }
        return (types, unusable, why)
    }

    private func typeRecord(_ id: UInt64, _ transaction: Transaction) throws(StoreError) -> TypeRecord? {
        let key = StoreKeys.type(id)
        guard let value = try transaction.get(key), let body = Sealed.open(value, key: key) else { return nil }
        return (try? TypeRecord.decode(body))?.record
    }

    /// A resource out of its record.
    func resource(_ key: [UInt8], _ value: [UInt8]) throws(StoreError) -> ResourceRecord {
        guard let sealed = Sealed.open(value, key: key) else {
            throw StoreError(.damaged, "the checksum of a record does not fit")
        }
        guard let record = try? ResourceRecord(decoding: try self.body.open(sealed, key: key)) else {
            // What is encrypted with another key is not damaged.
            _ = try self.body.open(sealed, key: key)
            throw StoreError(.damaged, "a record cannot be read")
        }
        guard let id = StoreKeys.id(of: key),
            StoreKeys.resource(id, isWildcard: record.isWildcard, name: record.name) == key
        else { throw StoreError(.damaged, "a record stands at another's place") }
        return record
    }

    // MARK: Writing

    /// Writes all changes or none. When the store is full, groups that are not `kept` give way, those unused longest first.
    package func write(_ changes: [StoreChange], now: WallTime, keeping kept: Set<StoreGroup>) throws(StoreError) {
        while true {
            do throws(StoreError) {
                return try self.writeOnce(changes, now)
            } catch {
                guard error.kind == .full, try self.removeOldest(except: kept) else { throw error }
            }
        }
    }

    private func writeOnce(_ changes: [StoreChange], _ now: WallTime) throws(StoreError) {
        var made: [StoreKey: UInt64] = [:]
        var touched: Set<UInt64> = []
        var removed: Set<StoreKey> = []
        var next = self.nextID
        try self.database.write { transaction throws(StoreError) in
            for change in changes {
                if change.isRemoval {
                    if let id = self.ids[change.key] { try self.remove(id, transaction) }
                    removed.insert(change.key)
                    continue
                }
                let known = self.ids[change.key] ?? made[change.key]
                guard known != nil || change.record != nil else { continue }
                let id = known ?? next
                if known == nil {
                    made[change.key] = id
                    next += 1
                }
                try self.write(change, id, transaction)
                if touched.insert(id).inserted {
                    try transaction.put(StoreKeys.age(id), MetaRecord.value(age: now, key: StoreKeys.age(id)))
                }
            }
        }
        self.nextID = next
        self.ids.merge(made) { _, new in new }
        for id in touched { self.used[id] = now }
        self.forget(removed)
    }

    private func remove(_ id: UInt64, _ transaction: Transaction) throws(StoreError) {
        var gone = [StoreKeys.type(id), StoreKeys.age(id)]
        try transaction.each(StoreKeys.resources(id)) { key, _ in gone.append(key) }
        for key in gone { try transaction.delete(key) }
    }

    private func forget(_ keys: Set<StoreKey>) {
        for key in keys {
            if let id = self.ids.removeValue(forKey: key) { self.used[id] = nil }
        }
    }

    private func write(_ change: StoreChange, _ id: UInt64, _ transaction: Transaction) throws(StoreError) {
        if var record = change.record {
            if record.wildcard == nil || record.named == nil, let old = try self.typeRecord(id, transaction) {
                record.wildcard = record.wildcard ?? old.wildcard
                record.named = record.named ?? old.named
            }
            let key = StoreKeys.type(id)
            try self.put(key, Sealed.seal(record.encoded(change.key), key: key), transaction)
        }
        var mentioned: Set<[UInt8]> = []
        for resource in change.resources {
            switch resource {
            case .put(let record):
                let key = StoreKeys.resource(id, isWildcard: record.isWildcard, name: record.name)
                if change.replacesWildcard, record.isWildcard { mentioned.insert(key) }
                let body = try self.body.seal(record.encoded, key: key)
                try self.put(key, Sealed.seal(body, key: key), transaction)
            case .delete(let name, let isWildcard):
                try transaction.delete(StoreKeys.resource(id, isWildcard: isWildcard, name: name))
            }
        }
        guard change.replacesWildcard else { return }
        var gone: [[UInt8]] = []
        try transaction.each(StoreKeys.lane(id, isWildcard: true)) { key, _ in
            if !mentioned.contains(key) { gone.append(key) }
        }
        for key in gone { try transaction.delete(key) }
    }

    /// What is there already costs no page.
    private func put(_ key: [UInt8], _ value: [UInt8], _ transaction: Transaction) throws(StoreError) {
        if try transaction.get(key) == value { return }
        try transaction.put(key, value)
    }

    // MARK: Age

    /// These groups are in use.
    package func touch(_ groups: Set<StoreGroup>, now: WallTime) throws(StoreError) {
        let ids = self.ids.filter { groups.contains(StoreGroup(upstream: $0.key.upstream, key: $0.key.key)) }.values
        guard !ids.isEmpty else { return }
        try self.database.write { transaction throws(StoreError) in
            for id in ids {
                try transaction.put(StoreKeys.age(id), MetaRecord.value(age: now, key: StoreKeys.age(id)))
            }
        }
        for id in ids { self.used[id] = now }
    }

    /// Removes what has not been in use since `time`. Returns how many groups.
    package func removeUnused(since time: WallTime, except kept: Set<StoreGroup>) throws(StoreError) -> Int {
        let old = self.ages.filter { $0.value < time && !kept.contains($0.key) }.keys
        for group in old { try self.remove(group) }
        return old.count
    }

    /// When each group was last in use.
    private var ages: [StoreGroup: WallTime] {
        var ages: [StoreGroup: WallTime] = [:]
        for (key, id) in self.ids {
            let group = StoreGroup(upstream: key.upstream, key: key.key)
            ages[group] = max(ages[group] ?? WallTime(rawValue: 0), self.used[id] ?? WallTime(rawValue: 0))
        }
        return ages
    }

    /// Returns false if there is none to remove.
    private func removeOldest(except kept: Set<StoreGroup>) throws(StoreError) -> Bool {
        let ages = self.ages.filter { !kept.contains($0.key) }
        guard let oldest = ages.min(by: { ($0.value, $0.key) < ($1.value, $1.key) }) else { return false }
        // To remove takes pages too, which are free again afterwards.
        self.database.allowBeyondBound(max(4 << 20, self.bytesMax / 4))
        defer { self.database.allowBeyondBound(0) }
        try self.remove(oldest.key)
        return true
    }

    package func remove(_ group: StoreGroup) throws(StoreError) {
        let ids = self.ids.filter { $0.key.upstream == group.upstream && $0.key.key == group.key }
        try self.database.write { transaction throws(StoreError) in
            for id in ids.values { try self.remove(id, transaction) }
        }
        self.forget(Set(ids.keys))
    }

    /// Every type of every group with when it was last in use, in order.
    package var contents: [(key: StoreKey, used: WallTime?)] {
        self.ids.sorted {
            ($0.key.upstream, $0.key.key, $0.key.typeURL) < ($1.key.upstream, $1.key.key, $1.key.typeURL)
        }
        .map { ($0.key, self.used[$0.value]) }
    }
}
