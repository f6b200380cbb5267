package import WeirBase
package import WeirXDS

/// One type of one stream, for people.
package struct TypeStatus: Sendable {
    package enum State: String, Sendable { case waiting, sent, acked, nacked }

    package var type: XDSType
    package var key: String
    package var wildcard: Bool
    package var names: [String]
    package var sent: String
    package var acked: String
    package var state: State
    package var rejection: Rejection?
}

/// One stream, for people.
package struct StreamStatus: Sendable {
    package var nodeID: String
    package var cluster: String
    package var peer: String
    package var key: String
    package var service: String
    package var variant: ProtocolVariant
    package var since: WallTime
    package var types: [TypeStatus]
}

/// One (group, type) on one worker, for people.
package struct ViewStatus: Sendable {
    package var key: String
    package var type: XDSType
    package var streams: Int
    package var acked: Int
    package var nacked: Int
    package var pending: Int
}

extension Shard {
    /// The streams in slots from `start` on, at most `limit` slots of them; `next` is nil at the end. Bounded work, so
    /// that a loop with many streams answers in pieces and no push waits for a dump.
    package func streamStatuses(from start: Int, limit: Int) -> (streams: [StreamStatus], next: Int?) {
        let ids = self.streams.ids(from: start, limit: limit)
        let end = start + limit
        return (ids.compactMap { self.status(of: $0) }, end < self.links.count ? end : nil)
    }

    private func status(of id: SlotID) -> StreamStatus? {
        guard let stream = self.streams[id] else { return nil }
        var types: [TypeStatus] = []
        var index = self.links[Int(id.index)].firstType
        while index != TypeStream.none {
            if let status = self.typeStatus(index) { types.append(status) }
            index = self.typeStreams[Int(index)].next
        }
        let group = stream.group == TypeStream.none ? nil : self.groups[Int(stream.group)]
        return StreamStatus(
            nodeID: stream.identity?.id ?? "", cluster: stream.identity?.cluster ?? "", peer: stream.peer.address,
            key: types.first?.key ?? group?.key ?? "", service: stream.service.label, variant: stream.service.variant,
            since: stream.openedAtWall, types: types)
    }

    /// Who has opened a stream, and the key of its group, as far as they are known; empty where not.
    package func identity(of id: SlotID) -> (node: String, key: String) {
        guard let stream = self.streams[id] else { return ("", "") }
        let group = stream.group == TypeStream.none ? nil : self.groups[Int(stream.group)]
        return (stream.identity?.id ?? "", group?.key ?? "")
    }

    private func typeStatus(_ index: Int32) -> TypeStatus? {
        guard let view = self.view(of: index) else { return nil }
        let record = self.typeStreams[Int(index)]
        let content = self.content(of: index, view)
        return TypeStatus(
            type: view.type, key: self.groups[Int(view.group)]?.key ?? "", wildcard: content.wildcard,
            names: content.names.map { view[$0].name }.sorted(), sent: self.sentVersion(index),
            acked: self.versions[Int(index)].acked, state: self.state(of: index),
            rejection: record.isRejected ? self.rejections[index] : nil)
    }

    private func state(of index: Int32) -> TypeStatus.State {
        let record = self.typeStreams[Int(index)]
        if record.isRejected { return .nacked }
        if record.isAwaiting { return .sent }
        // A client that came back with everything current was never sent anything and has it all the same.
        return record.wasAnswered || !self.versions[Int(index)].acked.isEmpty ? .acked : .waiting
    }

    /// What this worker's streams do, per group and type. Linear in the streams.
    package func viewStatuses() -> [ViewStatus] {
        var statuses: [Int32: ViewStatus] = [:]
        for index in self.typeStreams.indices where self.typeStreams[index].stream != TypeStream.none {
            let record = self.typeStreams[index]
            guard let view = self.views[Int(record.view)] else { continue }
            var status =
                statuses[record.view]
                ?? ViewStatus(
                    key: self.groups[Int(view.group)]?.key ?? "", type: view.type, streams: 0, acked: 0, nacked: 0,
                    pending: 0)
            status.streams += 1
            switch self.state(of: Int32(index)) {
            case .acked: status.acked += 1
            case .nacked: status.nacked += 1
            case .sent, .waiting: status.pending += 1
            }
            statuses[record.view] = status
        }
        return statuses.values.sorted { ($0.key, $0.type.pushOrder) < ($1.key, $1.type.pushOrder) }
    }

    /// Streams by variant and service, for the gauge.
    package func streamCounts() -> [DiscoveryService: Int] {
        var counts: [DiscoveryService: Int] = [:]
        for id in self.streams.ids { if let stream = self.streams[id] { counts[stream.service, default: 0] += 1 } }
        return counts
    }

    /// The groups that have streams here, with how many views each.
    package var groupKeys: [String] { self.groupIndex.keys.sorted() }
}

extension Shard {
    /// Streams by the key of their group; a stream whose types have several keys counts in each.
    package func streamsByKey() -> [String: Int] {
        var seen: [Int32: Set<Int32>] = [:]
        for record in self.typeStreams where record.stream != TypeStream.none {
            guard let view = self.views[Int(record.view)] else { continue }
            seen[view.group, default: []].insert(record.stream)
        }
        var result: [String: Int] = [:]
        for (group, streams) in seen {
            if let key = self.groups[Int(group)]?.key { result[key] = streams.count }
        }
        return result
    }
}
