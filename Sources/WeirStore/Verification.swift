import Glibc
import WeirBase
import WeirXDS

/// The record that says what the file is, and those that say when something was in use.
enum MetaRecord {
    static let format: UInt64 = 1
    private static let name = "weir-store"

    static func value(program: String) -> [UInt8] {
        var writer = WireWriter()
        writer.string(1, self.name)
        writer.uint(2, self.format)
        writer.string(3, program)
        return Sealed.seal(writer.bytes, key: StoreKeys.meta)
    }

    static func check(_ value: [UInt8], path: String) throws(StoreError) {
        guard let body = Sealed.open(value, key: StoreKeys.meta) else {
            throw StoreError(.foreign, "\(path) has no head that this program wrote")
        }
        var name = ""
        var format: UInt64 = 0
        do throws(WireError) {
            var reader = WireReader(ByteRange(offset: 0, count: body.count))
            while let field = try reader.next(in: body.span) {
                if field.number == 1 { name = body.span.string(try field.bytes()) }
                if field.number == 2 { format = try field.varint() }
            }
        } catch {
            throw StoreError(.foreign, "\(path) has a head that cannot be read: \(error)")
        }
        guard name == self.name else { throw StoreError(.foreign, "\(path) is a database of something else") }
        guard format == self.format else {
            throw StoreError(.foreign, "\(path) has format \(format); this program reads and writes \(self.format)")
        }
    }

    static func value(age: WallTime, key: [UInt8]) -> [UInt8] {
        Sealed.seal(bigEndian(UInt64(max(0, age.rawValue))), key: key)
    }

    static func age(_ value: [UInt8], key: [UInt8]) -> WallTime? {
        guard let body = Sealed.open(value, key: key), body.count == 8 else { return nil }
        return WallTime(rawValue: Int64(clamping: body.reduce(UInt64(0)) { $0 << 8 | UInt64($1) }))
    }
}

/// What is wrong with a store.
package struct StoreReport: Sendable {
    package var types = 0
    package var resources = 0
    package var encrypted = 0
    /// The first problems, in words.
    package var problems: [String] = []
    package var problemCount = 0

    private static let problemsMax = 20

    mutating func note(_ problem: String) {
        self.problemCount += 1
        if self.problems.count < Self.problemsMax { self.problems.append(problem) }
    }
}

extension Store {
    /// Looks at every record, whether its checksum fits and whether it belongs to something.
    package func verify() throws(StoreError) -> StoreReport {
        var report = StoreReport()
        var ids: Set<UInt64> = []
        try self.database.read { transaction throws(StoreError) in
            try transaction.each([]) { key, value throws(StoreError) in
                guard let kind = key.first else { return report.note("a record without a key") }
                guard let body = Sealed.open(value, key: key) else {
                    return report.note("the checksum of record \(Self.text(key)) does not fit")
                }
                switch [kind] {
                case StoreKeys.meta: break
                case StoreKeys.ages:
                    if MetaRecord.age(value, key: key) == nil { report.note("record \(Self.text(key)) cannot be read") }
                case StoreKeys.types:
                    report.types += 1
                    if let id = StoreKeys.id(of: key) { ids.insert(id) }
                    if (try? TypeRecord.decode(body)) == nil { report.note("record \(Self.text(key)) cannot be read") }
                case StoreKeys.resources:
                    report.resources += 1
                    if ResourceBody.isEncrypted(body) {
                        report.encrypted += 1
                    } else if (try? self.resource(key, value)) == nil {
                        report.note("record \(Self.text(key)) cannot be read")
                    }
                default: report.note("record \(Self.text(key)) is of no known kind")
                }
            }
            try self.findOrphans(ids, transaction, &report)
        }
        return report
    }

    private func findOrphans(
        _ ids: Set<UInt64>, _ transaction: Transaction, _ report: inout StoreReport
    ) throws(StoreError) {
        var orphans = 0
        try transaction.each(StoreKeys.resources) { key, _ in
            if StoreKeys.id(of: key).map({ !ids.contains($0) }) ?? true { orphans += 1 }
        }
        if orphans > 0 { report.note("\(orphans) resources belong to no type") }
    }

    private static func text(_ key: [UInt8]) -> String {
        let head = String(decoding: key.prefix(1), as: UTF8.self)
        let name = String(decoding: key.dropFirst(10).prefix(64), as: UTF8.self)
        return "\(head)\(StoreKeys.id(of: key).map(String.init) ?? "")\(name.isEmpty ? "" : " \"\(name)\"")"
    }

    /// Before a store is used: everything in it, and whether it can be written as far as that can be told without doing
    /// it. To be called in a process of its own, for the library that reads the file trusts it, and may crash.
    package static func checkBeforeUse(path: String) throws(StoreError) -> StoreReport {
        let report: StoreReport
        let store = try Store.openForReading(path: path)
        do throws(StoreError) {
            report = try store.verify()
        } catch {
            store.close()
            throw error
        }
        store.close()
        guard report.problemCount == 0 else { return report }
        guard unsafe access(path, W_OK) == 0,
            let database = try? Database(path: path, mapSize: 2 * StoreFile.bytes(path) + (16 << 20), isReadOnly: false)
        else { return report }
        defer { database.close() }
        // What would be free to write to is looked at with the first write.
        try database.tryToWrite(Array("~".utf8), [UInt8](repeating: 0, count: 64 << 10))
        return report
    }
}
