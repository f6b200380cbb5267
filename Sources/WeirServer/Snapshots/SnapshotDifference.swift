import WeirBase
import WeirEngine
import WeirXDS

/// What a new snapshot changes, by type, for whoever put it.
struct SnapshotDifference: Sendable {
    struct TypeDifference: Sendable {
        var typeURL: String
        var version: String?
        var resources = 0
        var added: [String] = []
        var changed: [String] = []
        var removed: [String] = []
    }

    /// Names that are listed of each kind.
    static let namesMax = 100

    private(set) var types: [TypeDifference] = []

    init(from old: Snapshot?, to new: Snapshot?) {
        let urls = Set(old?.contents.keys.map { $0 } ?? []).union(new?.contents.keys.map { $0 } ?? [])
        for url in urls.sorted() {
            let (before, after) = (old?.contents[url], new?.contents[url])
            var type = TypeDifference(typeURL: url, version: after?.version)
            type.resources = after?.resources.count ?? 0
            for (name, resource) in after?.resources ?? [:] {
                guard let held = before?.resources[name] else {
                    type.added.append(name)
                    continue
                }
                if !held.isSame(as: resource) { type.changed.append(name) }
            }
            for name in (before?.resources ?? [:]).keys where after?.resources[name] == nil {
                type.removed.append(name)
            }
            self.types.append(type)
        }
    }

    /// `types`.
    func write(to object: inout JSONWriter) {
        object.object("types") { list in
            for type in self.types {
                list.object(XDSType.of(typeURL: type.typeURL).label) {
                    $0.field("version_info", type.version)
                    $0.field("resources", type.resources)
                    $0.field("added", type.added.sorted().prefix(Self.namesMax).map { $0 })
                    $0.field("changed", type.changed.sorted().prefix(Self.namesMax).map { $0 })
                    $0.field("removed", type.removed.sorted().prefix(Self.namesMax).map { $0 })
                    let left = [type.added, type.changed, type.removed].reduce(0) {
                        $0 + max(0, $1.count - Self.namesMax)
                    }
                    $0.field("names_left_out", left)
                }
            }
        }
    }
}
