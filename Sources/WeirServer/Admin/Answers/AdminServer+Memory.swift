import WeirBase
import WeirConfig
import WeirEngine
import WeirObserve

/// `/memory`: what the process holds, and what of it is the cache.
extension AdminServer {
    func memory(_ answer: AdminAnswer) {
        self.gather { (worker: Worker, done: @escaping @Sendable (WorkerGroups) -> Void) in
            worker.collectGroups(done: done)
        } render: { [self] gathered in
            let fields = self.memoryFields(gathered.parts)
            if answer.wantsText {
                let notes = pageNotes(listed: 0, total: 0, next: nil, missing: gathered.missing)
                return answer.lines(fields.map { ($0.0, String($0.1)) } + notes.map { ("note", $0) })
            }
            answer.json { json in
                json.object { object in
                    for (name, value) in fields { object.field(name, value) }
                    object.field("pressure", self.shared.memory.pressure.name)
                    object.missing(gathered.missing)
                }
            }
        }
    }

    private func memoryFields(_ parts: [WorkerGroups]) -> [(String, Int)] {
        let figures = ProcessReader.figures()
        let types = parts.flatMap(\.homes).flatMap(\.types)
        return [
            ("resident_bytes", Int(clamping: figures.residentBytes)),
            ("virtual_bytes", Int(clamping: figures.virtualBytes)),
            ("limit_bytes", self.shared.configuration.downstream.limits.memoryMax),
            ("cache_bytes", types.reduce(0) { $0 + $1.bytes }),
            ("cache_resources", types.reduce(0) { $0 + $1.resources }),
            ("groups", parts.reduce(0) { $0 + $1.count }),
            ("streams", parts.reduce(0) { $0 + $1.streamsByService.values.reduce(0, +) }),
            ("open_files", Int(clamping: figures.openFDs)),
        ]
    }
}
