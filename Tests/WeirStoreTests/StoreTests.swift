import Glibc
import Testing
import WeirBase

@testable import WeirStore

/// A folder of its own for one test.
private final class Folder {
    let path: String

    init() {
        var template = Array("/tmp/weir-store-XXXXXX".utf8CString)
        self.path = unsafe template.withUnsafeMutableBufferPointer { buffer in
            guard let start = buffer.baseAddress, let made = unsafe mkdtemp(start) else { return "" }
            return unsafe String(cString: made)
        }
    }

    deinit {
        for name in self.names { unsafe unlink("\(self.path)/\(name)") }
        unsafe rmdir(self.path)
    }

    var names: [String] {
        guard let directory = unsafe opendir(self.path) else { return [] }
        defer { unsafe closedir(directory) }
        var names: [String] = []
        while let entry = unsafe readdir(directory) {
            let name = unsafe withUnsafeBytes(of: entry.pointee.d_name) { bytes in
                unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name != ".", name != ".." { names.append(name) }
        }
        return names.sorted()
    }

    var file: String { "\(self.path)/weir.mdb" }

    func write(_ text: String) {
        guard let file = unsafe fopen(self.file, "w") else { return }
        unsafe fputs(text, file)
        unsafe fclose(file)
    }

    func open(_ options: StoreOptions = StoreOptions(), at now: Int64 = 0) throws -> StoreOpening {
        try Store.open(folder: self.path, options: options, now: WallTime(rawValue: now)) { path throws(StoreError) in
            if let problem = try Store.checkBeforeUse(path: path).problems.first { throw StoreError(.damaged, problem) }
        }
    }
}

/// Not for keeping secrets: it shows what is asked of a cipher.
private struct Rot: StoreCipher {
    var key: UInt8

    func seal(_ plain: [UInt8], boundTo place: [UInt8]) -> [UInt8]? { [self.key] + plain.map { $0 ^ self.key } }

    func open(_ sealed: [UInt8], boundTo place: [UInt8]) -> [UInt8]? {
        sealed.first == self.key ? sealed.dropFirst().map { $0 ^ self.key } : nil
    }
}

@Suite("The store")
struct StoreTests {
    private static let web = StoreGroup(upstream: "primary", key: "web")

    private static func record(_ version: String) -> TypeRecord {
        var record = TypeRecord()
        var lane = TypeRecord.Lane()
        lane.version = version
        record.wildcard = lane
        return record
    }

    private static func put(_ name: String, _ content: String, wildcard: Bool = true) -> StoreChange.Resource {
        var record = ResourceRecord(name: name, isWildcard: wildcard, presence: .present)
        record.element = Array(content.utf8)
        return .put(record)
    }

    private static func change(
        _ resources: [StoreChange.Resource], version: String? = "1", whole: Bool = false, group: StoreGroup = web
    ) -> StoreChange {
        StoreChange(
            key: StoreKey(upstream: group.upstream, key: group.key, typeURL: "t"), record: version.map(Self.record),
            replacesWildcard: whole, resources: resources)
    }

    private func contents(_ store: Store, _ group: StoreGroup = web) throws -> [String] {
        try store.read(group).types.flatMap { type in
            type.resources.map {
                "\($0.isWildcard ? "" : "'")\($0.name)=\(String(decoding: $0.element, as: UTF8.self))"
            }
        }
    }

    @Test("what is written is there after opening again: what changed, what went, what stayed")
    func changes() throws {
        let folder = Folder()
        var store = try folder.open().store
        try store.write(
            [Self.change([Self.put("a", "1"), Self.put("b", "1"), Self.put("c", "1", wildcard: false)])],
            now: WallTime(rawValue: 1), keeping: [])
        try store.write(
            [Self.change([Self.put("a", "2"), .delete(name: "b", isWildcard: true)], version: nil)],
            now: WallTime(rawValue: 2), keeping: [])
        store.close()
        let opening = try folder.open()
        store = opening.store
        #expect(opening.setAside == nil && opening.isReadOnlyBecause == nil)
        #expect(try self.contents(store) == ["a=2", "'c=1"])
        #expect(try store.read(Self.web).types[0].record.wildcard?.version == "1")
        #expect(store.contents.map(\.used) == [WallTime(rawValue: 2)])
        store.close()
    }

    @Test("a whole wildcard replaces what was stored of it, and leaves names alone")
    func whole() throws {
        let folder = Folder()
        let store = try folder.open().store
        try store.write(
            [Self.change([Self.put("a", "1"), Self.put("b", "1"), Self.put("b", "1", wildcard: false)])],
            now: WallTime(rawValue: 1), keeping: [])
        try store.write(
            [Self.change([Self.put("c", "1")], version: "2", whole: true)], now: WallTime(rawValue: 1), keeping: [])
        #expect(try self.contents(store) == ["c=1", "'b=1"])
        store.close()
    }

    @Test("a type that is to go is gone with all it has, in the same transaction as what comes, and can come again")
    func removal() throws {
        let folder = Folder()
        var store = try folder.open().store
        let key = StoreKey(upstream: "primary", key: "web", typeURL: "t")
        let other = StoreChange(
            key: StoreKey(upstream: "primary", key: "web", typeURL: "u"), record: Self.record("1"),
            replacesWildcard: false, resources: [Self.put("x", "1")])
        try store.write(
            [Self.change([Self.put("a", "1"), Self.put("n", "1", wildcard: false)])], now: WallTime(rawValue: 1),
            keeping: [])
        try store.write([StoreChange(removing: key), other], now: WallTime(rawValue: 2), keeping: [])
        #expect(try self.contents(store) == ["x=1"] && store.typeURLs(of: Self.web) == ["u"])
        try store.write([StoreChange(removing: key)], now: WallTime(rawValue: 2), keeping: [])
        try store.write([Self.change([Self.put("b", "1")])], now: WallTime(rawValue: 3), keeping: [])
        store.close()
        store = try folder.open().store
        #expect(try self.contents(store).sorted() == ["b=1", "x=1"])
        #expect(store.typeURLs(of: Self.web) == ["t", "u"])
        store.close()
    }

    @Test("a lane that a change does not speak of stays as it was")
    func lanes() throws {
        let folder = Folder()
        let store = try folder.open().store
        try store.write([Self.change([], version: "1")], now: WallTime(rawValue: 1), keeping: [])
        var change = Self.change([])
        change.record = TypeRecord()
        change.record?.named = TypeRecord.Lane()
        try store.write([change], now: WallTime(rawValue: 1), keeping: [])
        let record = try store.read(Self.web).types[0].record
        #expect(record.wildcard?.version == "1" && record.named != nil)
        store.close()
    }

    @Test("two processes cannot write one store")
    func lock() throws {
        let folder = Folder()
        let store = try folder.open().store
        let error = #expect(throws: StoreError.self) { try folder.open() }
        #expect(error?.kind == .locked)
        store.close()
        try folder.open().store.close()
    }

    @Test("a foreign file is set aside, and so is one of another format", arguments: [false, true])
    func foreign(_ isDatabase: Bool) throws {
        let folder = Folder()
        if isDatabase {
            let other = try Database(path: folder.file, mapSize: 1 << 20, isReadOnly: false)
            try other.write { transaction throws(StoreError) in
                try transaction.put(Array("M".utf8), Array("somebody else's".utf8))
            }
            other.close()
        } else {
            folder.write("something else altogether\n")
        }
        let opening = try folder.open(at: 1_000_000_000)
        #expect(opening.setAside?.reason.kind == .foreign)
        #expect(opening.setAside?.path == folder.file + ".set-aside-19700101T000001000")
        #expect(folder.names.contains("weir.mdb.set-aside-19700101T000001000"))
        #expect(opening.store.groups.isEmpty)
        opening.store.close()
    }

    @Test("a record whose checksum does not fit is found")
    func verify() throws {
        let folder = Folder()
        let store = try folder.open().store
        try store.write([Self.change([Self.put("a", "1")])], now: WallTime(rawValue: 1), keeping: [])
        #expect(try store.verify().problemCount == 0)
        try store.database.write { transaction throws(StoreError) in
            let key = StoreKeys.resource(1, isWildcard: true, name: "a")
            var value = try transaction.get(key) ?? []
            value[value.count - 1] ^= 1
            try transaction.put(key, value)
        }
        #expect(try store.verify().problems == ["the checksum of record R1 \"a\" does not fit"])
        let read = try store.read(Self.web)
        #expect(read.unusable == 1 && read.why?.kind == .damaged && read.types[0].resources.isEmpty)
        store.close()
        let opening = try folder.open()
        #expect(opening.setAside?.reason.kind == .damaged)
        opening.store.close()
    }

    @Test("when it is full, groups that are not in use give way, those unused longest first; else nothing is lost")
    func full() throws {
        let folder = Folder()
        var options = StoreOptions()
        options.bytesMax = 1 << 20
        let store = try folder.open(options).store
        let large = String(repeating: "x", count: 200_000)
        let groups = (0..<12).map { StoreGroup(upstream: "primary", key: "g\($0)") }
        for (index, group) in groups.enumerated() {
            try store.write(
                [Self.change([Self.put("a", large)], group: group)], now: WallTime(rawValue: Int64(index)),
                keeping: [groups[0], group])
        }
        #expect(store.groups.contains(groups[0]) && store.groups.contains(groups[11]))
        #expect(!store.groups.contains(groups[1]) && store.groups.count < 6)
        let before = store.groups
        let error = #expect(throws: StoreError.self) {
            try store.write(
                [Self.change((0..<20).map { Self.put("r\($0)", large) }, group: Self.web)], now: WallTime(rawValue: 99),
                keeping: before)
        }
        #expect(error?.kind == .full && store.groups == before)
        #expect(try self.contents(store, groups[0]) == ["a=" + large])
        store.close()
    }

    @Test("what nobody has used for long is removed, and what is in use stays")
    func age() throws {
        let folder = Folder()
        let store = try folder.open().store
        let groups = (0..<3).map { StoreGroup(upstream: "primary", key: "g\($0)") }
        for group in groups {
            try store.write([Self.change([Self.put("a", "1")], group: group)], now: WallTime(rawValue: 1), keeping: [])
        }
        try store.touch([groups[1]], now: WallTime(rawValue: 10))
        #expect(try store.removeUnused(since: WallTime(rawValue: 5), except: [groups[2]]) == 1)
        #expect(store.groups == [groups[1], groups[2]])
        #expect(try store.verify().resources == 2)
        store.close()
    }

    @Test("with a cipher nothing is readable without it, and what was written without one still is")
    func cipher() throws {
        let folder = Folder()
        var store = try folder.open().store
        try store.write([Self.change([Self.put("a", "open")])], now: WallTime(rawValue: 1), keeping: [])
        store.close()
        var options = StoreOptions()
        options.cipher = Rot(key: 7)
        store = try folder.open(options).store
        try store.write([Self.change([Self.put("b", "hidden")])], now: WallTime(rawValue: 1), keeping: [])
        #expect(try self.contents(store) == ["a=open", "b=hidden"])
        store.close()
        options.cipher = Rot(key: 8)
        for cipher in [options.cipher, nil] {
            let other = try Store.openForReading(path: folder.file, cipher: cipher)
            let read = try other.read(Self.web)
            #expect(read.unusable == 1 && read.why?.kind == .key && read.types[0].resources.map(\.name) == ["a"])
            #expect(try other.verify().problemCount == 0)
            other.close()
        }
    }
}
