import WeirBase
import WeirEngine
import WeirXDS

/// `/keys`: what the workers know of the groups.
extension AdminServer {
    /// What a list grows to at most, in bytes; what does not fit is on the next page.
    static let pageBytesMax = 32 << 20

    /// Two questions: which keys there are, and, of those on the page, how they are.
    func keys(_ answer: AdminAnswer) {
        let wanted = answer.query("key")
        let cursor = answer.query("cursor")
        self.gather { (worker: Worker, done: @escaping @Sendable ([String]) -> Void) in
            let keys = worker.groupKeys()
            done(wanted.map { wanted in keys.contains(wanted) ? [wanted] : [] } ?? keys)
        } render: { [self] gathered in
            let all = gathered.parts.flatMap { $0 }
            let rest = (cursor.map { cursor in all.filter { $0 > cursor } } ?? all).sorted()
            let page = Array(rest.prefix(answer.limit))
            let next = page.count < rest.count ? page.last : nil
            self.keys(answer, page, total: all.count, next, missing: gathered.missing)
        }
    }

    private func keys(_ answer: AdminAnswer, _ page: [String], total: Int, _ next: String?, missing: [Int]) {
        // A worker that has just not answered is not waited for again.
        let absent = Set(missing)
        self.gather { (worker: Worker, done: @escaping @Sendable (WorkerGroups) -> Void) in
            worker.collectGroups(page, done: done)
        } except: {
            absent.contains($0)
        } render: { gathered in
            let missing = gathered.missing
            let keys = KeySummary.merge(gathered.parts)
            if answer.wantsText {
                let notes = pageNotes(listed: keys.count, total: total, next: next, missing: missing)
                return answer.table(Self.keyTable(keys), notes)
            }
            answer.json { json in
                json.object {
                    $0.array("keys") { list in for key in keys { key.write(to: &list) } }
                    $0.page(total: total, next: next, missing: missing)
                }
            }
        }
    }

    private static func keyTable(_ keys: [KeySummary]) -> TextTable {
        var table = TextTable([
            "KEY", "UPSTREAM", "STATE", "STREAMS", "TYPE", "VERSION", "RESOURCES", "ACKED", "NACKED", "HELD",
        ])
        for key in keys {
            for type in key.home.types {
                let view = key.views[type.type] ?? ViewTotals()
                table.add([
                    key.home.key, key.home.upstream, key.upstreamState, String(key.streams), type.type.label,
                    type.version, String(type.resources), String(view.acked), String(view.nacked),
                    type.hold?.reason.rawValue ?? "-",
                ])
            }
        }
        return table
    }
}
