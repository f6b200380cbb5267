import WeirBase
import WeirEngine
import WeirLoop
import WeirObserve
import WeirXDS

/// What the relay looks at by itself.
extension AdminServer {
    func checks(_ answer: AdminAnswer) {
        let now = Loop.monotonicNow()
        let drift = self.shared.drift.all
        if answer.wantsText {
            var table = TextTable(["KEY", "UPSTREAM", "SINCE", "DIFFERENCES", "NAMES"])
            for (unit, status) in drift {
                table.add([unit.key, unit.upstream, status.since.rfc3339, String(status.count), status.text])
            }
            return answer.table(table)
        }
        answer.json { json in
            json.object {
                $0.object("drift") { object in
                    if let age = self.shared.drift.age(now) {
                        object.field("answered_seconds_ago", age.rawValue / 1_000_000_000)
                    } else {
                        object.key("answered_seconds_ago")
                        object.null()
                    }
                    object.array("groups") { list in
                        for (unit, status) in drift { Self.write(unit, status, to: &list) }
                    }
                }
                $0.object("freshness") { object in
                    object.array("workers") { list in
                        for worker in self.shared.links.indices { self.write(worker, now, to: &list) }
                    }
                }
            }
        }
    }

    private static func write(_ unit: DriftUnit, _ status: DriftStatus, to list: inout JSONWriter) {
        list.object {
            $0.field("key", unit.key)
            $0.field("upstream", unit.upstream)
            $0.field("since", status.since.rfc3339)
            $0.field("seen", status.seen.rfc3339)
            $0.field("healed", status.isHealed)
            $0.field("differences", status.count)
            $0.array("names") { names in
                for difference in status.sample {
                    names.object {
                        $0.field("type", difference.type.label)
                        $0.field("name", difference.name)
                        $0.field("kind", difference.kind.rawValue)
                    }
                }
            }
        }
    }

    private func write(_ worker: Int, _ now: Instant, to list: inout JSONWriter) {
        let entry = self.shared.freshness.entry(worker)
        list.object {
            $0.field("worker", worker)
            $0.field("place", entry.place)
            $0.field("answered", entry.answeredAt?.rfc3339)
            $0.field("lag_seconds", self.shared.freshness.lag(worker, now).rawValue / 1_000_000_000)
            $0.field("trouble", entry.trouble?.text ?? "")
        }
    }

    /// Has a group compared with its upstreams now, whether that is done by itself or not.
    func checkDrift(_ answer: AdminAnswer) {
        guard let key = answer.query("key") else { return answer.error(400, "POST /checks/drift needs ?key=KEY") }
        let home = Placement.home(of: key, workers: self.shared.links.count)
        let isPosted = self.shared.links[home].post(
            .perform { worker in
                guard worker.homes.groups[key] != nil else {
                    return answer.error(404, "there is no group with key \"\(key)\"")
                }
                guard worker.homes.driftChecker.look(atKey: key, worker.loop.now) else {
                    return answer.error(409, "key \"\(key)\" asks no control plane: there is nothing to compare")
                }
                answer.json(200) { json in
                    json.object {
                        $0.field("key", key)
                        $0.field("state", "queued")
                    }
                }
            })
        if !isPosted { answer.error(503, "the worker that is home to the key does not take anything any more") }
    }

    func setCheckGauges(_ now: Instant) {
        let checks = self.shared.metrics.checks
        checks.driftGroups.set(Int64(Set(self.shared.drift.all.map(\.unit.key)).count))
        checks.driftCheckAge.set((self.shared.drift.age(now) ?? .zero).rawValue / 1_000_000_000)
        for worker in self.shared.links.indices {
            checks.freshnessLag(worker: worker)
                .set(self.shared.freshness.lag(worker, now).rawValue / 1_000_000_000)
        }
    }
}
