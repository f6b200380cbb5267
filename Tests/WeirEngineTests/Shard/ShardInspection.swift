import WeirBase
import WeirXDS

@testable import WeirEngine

/// Looks into a shard: do its tables agree with each other?
struct ShardInspection {
    let shard: Shard

    init(_ shard: Shard) { self.shard = shard }

    /// What is left when no stream is.
    var leftovers: [String] {
        var result: [String] = []
        if self.shard.typeStreams.count != self.shard.freeTypeStreams.count { result.append("type streams are left") }
        if self.shard.views.contains(where: { $0 != nil }) { result.append("views are left") }
        if !self.shard.behind.isEmpty { result.append("type streams are behind") }
        if !self.shard.rejections.isEmpty { result.append("rejections are left") }
        if self.shard.streamCount != 0 { result.append("streams are left") }
        if !self.shard.retiring.isEmpty { result.append("what left is remembered") }
        return result
    }

    /// At any moment: do the tables agree with each other?
    var disagreements: [String] {
        var result: [String] = []
        var pending: [Int32: Int32] = [:]
        var behind: [Int32: Int] = [:]
        for record in self.shard.typeStreams where record.stream != TypeStream.none {
            pending[record.stream, default: 0] += (record.isDue ? 1 : 0) + (record.isBehind ? 1 : 0)
            behind[record.view, default: 0] += record.isBehind ? 1 : 0
            if record.isEnlisted { result.append("a type stream is left over from a flush") }
        }
        for (stream, count) in pending where self.shard.links[Int(stream)].pending != count {
            result.append("stream \(stream) has \(count) pending, counted \(self.shard.links[Int(stream)].pending)")
        }
        for (index, view) in self.shard.views.enumerated() {
            guard let view = view else { continue }
            if view.behind != behind[Int32(index)] ?? 0 { result.append("\(view.type.label): behind is counted wrong") }
            result += self.disagreements(of: view, Int32(index))
        }
        return result
    }

    /// At rest: every stream in its place, and every count right.
    var faults: [String] {
        var result: [String] = []
        for (index, view) in self.shard.views.enumerated() {
            if let view = view { result += self.faults(of: view, Int32(index)) }
        }
        for (index, record) in self.shard.typeStreams.enumerated() where record.stream != TypeStream.none {
            if record.isBehind { result.append("type stream \(index) is behind") }
            if record.isAwaiting { result.append("type stream \(index) awaits an answer") }
            if record.isDue { result.append("type stream \(index) is due") }
        }
        if self.shard.hasWork { result.append("there is work left") }
        return result
    }

    private func faults(of view: TypeView, _ number: Int32) -> [String] {
        var result: [String] = []
        let label = view.type.label
        for (index, entry) in view.entries.enumerated() where entry.isInUse {
            let id = NameID(rawValue: Int32(index))
            if entry.pins != 0 { result.append("\(label): \(entry.name) is still owed") }
            if case .unknown = entry.named, entry.wild == nil, entry.subscribers.isEmpty, entry.wildChanged == 0,
                view.errors[id] == nil
            {
                result.append("\(label): \(entry.name) is remembered for nothing")
            }
        }
        if view.unsettled != 0 { result.append("\(label): \(view.unsettled) unsettled") }
        if !view.retired.isEmpty { result.append("\(label): what left is remembered") }
        return result
    }

    private func disagreements(of view: TypeView, _ number: Int32) -> [String] {
        var result: [String] = []
        let label = view.type.label
        var streams: [Int32: Int] = [:]
        var detached = 0
        for (index, record) in self.shard.typeStreams.enumerated()
        where record.stream != TypeStream.none && record.view == number {
            if record.subscription != TypeStream.none { streams[record.subscription, default: 0] += 1 }
            guard record.cohort != TypeStream.none else {
                detached += 1
                continue
            }
            let cohort = view.cohorts[Int(record.cohort)]
            let list = record.isInAwaitingList ? cohort.awaiting : cohort.idle
            if list.count <= Int(record.position) || list[Int(record.position)] != Int32(index) {
                result.append("\(label): type stream \(index) is not in its place")
            }
            if cohort.subscription != record.subscription {
                result.append("\(label): type stream \(index) is in a cohort of another subscription")
            }
        }
        if detached != view.detached { result.append("\(label): \(detached) detached, counted \(view.detached)") }
        for (index, subscription) in view.subscriptions.enumerated() {
            guard let subscription = subscription else { continue }
            if subscription.streams != streams[Int32(index)] ?? 0 {
                result.append("\(label): subscription \(index) has \(subscription.streams) streams")
            }
            for cohort in subscription.cohorts where view.cohorts[Int(cohort)].isEmpty {
                result.append("\(label): subscription \(index) keeps an empty cohort")
            }
        }
        return result
    }
}
