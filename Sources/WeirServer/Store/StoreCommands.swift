import WeirConfig
import WeirBase
import WeirEngine
import WeirLoop
import WeirProtobuf
import WeirStore
import WeirTLS
import WeirXDS

/// What `weir store` is asked.
package struct StoreRequest: Hashable, Sendable {
    package enum Action: String, Hashable, Sendable, CaseIterable { case inspect, verify, export }

    package var action: Action
    /// The folder, or the file itself.
    package var path: String
    package var encryptionKey: String?
    /// Only this key's groups.
    package var key: String?
    /// `verify`: with what a relay needs before it uses the store.
    package var isBeforeUse = false

    package init(action: Action, path: String, encryptionKey: String? = nil, key: String? = nil) {
        self.action = action
        self.path = path
        self.encryptionKey = encryptionKey
        self.key = key
    }
}

/// How it ended.
package enum StoreAnswer: Hashable, Sendable {
    case fine
    /// The store is damaged; what of it was written out.
    case damaged
    /// It could not be done: why.
    case failed(String)
}

/// Looks into a store, which a relay may be using meanwhile.
package func runStoreCommand(_ request: StoreRequest, write: (String) -> Void) -> StoreAnswer {
    let path = StoreFile.path(request.path)
    guard StoreFile.exists(path) else { return .failed("there is no store: \(path) does not exist") }
    // The library that reads the file trusts it: a damaged one may end the process, and then it is known to be damaged.
    if request.action == .verify { Signals.endSilentlyOnFaults() }
    do throws(StoreError) {
        if request.action == .verify, request.isBeforeUse {
            return verify(try Store.checkBeforeUse(path: path), path, write)
        }
        let store = try Store.openForReading(path: path, cipher: try cipher(request))
        defer { store.close() }
        switch request.action {
        case .inspect: try inspect(store, request, write)
        case .verify: return verify(try store.verify(), path, write)
        case .export: try export(store, request, write)
        }
        return .fine
    } catch {
        guard request.action == .verify, error.kind == .damaged || error.kind == .foreign else {
            return .failed(error.description)
        }
        write("\(error.description)\n")
        return .damaged
    }
}

private func cipher(_ request: StoreRequest) throws(StoreError) -> (any StoreCipher)? {
    guard let path = request.encryptionKey else { return nil }
    guard let file = try? readFile(path, bytesMax: 4096), let key = encryptionKey(in: file),
        let cipher = RecordCipher(key: key)
    else { throw StoreError(.key, "\(path) holds no key of 32 bytes") }
    return cipher
}

private func verify(_ report: StoreReport, _ path: String, _ write: (String) -> Void) -> StoreAnswer {
    for problem in report.problems { write("\(path): \(problem)\n") }
    if report.problemCount > report.problems.count {
        write("\(path): and \(report.problemCount - report.problems.count) more\n")
    }
    guard report.problemCount == 0 else { return .damaged }
    write("OK: \(report.types) types, \(report.resources) resources, \(report.encrypted) of them encrypted\n")
    return .fine
}

private func inspect(_ store: Store, _ request: StoreRequest, _ write: (String) -> Void) throws(StoreError) {
    var table = TextTable([
        "KEY", "UPSTREAM", "TYPE", "VERSION", "RESOURCES", "BYTES", "UPDATED", "LAST USED", "UNUSABLE",
    ])
    let used = Dictionary(store.contents.map { ($0.key, $0.used) }, uniquingKeysWith: { a, _ in a })
    for group in store.groups.sorted() where request.key == nil || group.key == request.key {
        let (types, unusable, _) = try store.read(group)
        for type in types {
            let key = StoreKey(upstream: group.upstream, key: group.key, typeURL: type.typeURL)
            let present = type.resources.filter { $0.presence == .present }
            table.add([
                group.key, group.upstream, XDSType.of(typeURL: type.typeURL).label,
                type.record.wildcard?.version ?? type.record.named?.version ?? "", String(present.count),
                String(present.reduce(0) { $0 + $1.element.count }), type.record.updated?.rfc3339 ?? "-",
                used[key]??.rfc3339 ?? "-", String(unusable),
            ])
        }
    }
    write(table.text)
}

private func export(_ store: Store, _ request: StoreRequest, _ write: (String) -> Void) throws(StoreError) {
    let dumper = ResourceDumper(descriptors: DescriptorFile.load())
    let now = Loop.monotonicNow()
    let wall = Loop.wallNow()
    write("{\"resources\":[")
    var isFirst = true
    for group in store.groups.sorted() where request.key == nil || group.key == request.key {
        for type in try store.read(group).types {
            let xdsType = XDSType.of(typeURL: type.typeURL)
            for record in type.resources where record.presence == .present {
                guard let resource = StoreMapping.resource(record, xdsType, now, wall) else { continue }
                var writer = JSONWriter()
                dumper.write(
                    resource, key: group.key, xdsType, updated: type.record.updated, to: &writer)
                write((isFirst ? "\n" : ",\n") + String(decoding: writer.bytes, as: UTF8.self))
                isFirst = false
            }
        }
    }
    write("\n]}\n")
}
