import WeirBase
package import WeirXDS

/// What one worker's streams do, by group, type and service.
package struct StreamCounts: Sendable {
    package var views: [ViewStatus] = []
    /// A stream whose types have several keys counts in each.
    package var byKey: [String: Int] = [:]
    package var byService: [DiscoveryService: Int] = [:]
}

/// Counts a shard's streams in pieces. Confined to the shard's loop.
package final class Census {
    private struct Tally {
        var acked = 0
        var nacked = 0
        var pending = 0
    }

    private var slot = 0
    /// By view and by group.
    private var tallies: ContiguousArray<Tally> = []
    private var groups: ContiguousArray<Int> = []
    private var services = ContiguousArray(repeating: 0, count: DiscoveryService.all.count)

    package init() {}

    /// Looks at up to `slots` slots. Returns whether there are more.
    package func advance(_ shard: Shard, slots: Int) -> Bool {
        while self.tallies.count < shard.views.count { self.tallies.append(Tally()) }
        while self.groups.count < shard.groups.count { self.groups.append(0) }
        let end = min(shard.links.count, self.slot + slots)
        for slot in self.slot..<max(self.slot, end) where shard.links[slot].isOpen { self.count(slot, shard) }
        self.slot = max(self.slot, end)
        return self.slot < shard.links.count
    }

    private func count(_ slot: Int, _ shard: Shard) {
        let link = shard.links[slot]
        let id = SlotID(index: UInt32(slot), generation: link.generation)
        guard id != shard.selfCheck else { return }
        if let number = shard.streams[id]?.serviceNumber { self.services[Int(number)] += 1 }
        var index = link.firstType
        // Nearly always all types of a stream belong to one group.
        var counted: [Int32] = []
        while index != TypeStream.none {
            let record = shard.typeStreams[Int(index)]
            switch shard.state(of: index) {
            case .acked: self.tallies[Int(record.view)].acked += 1
            case .nacked: self.tallies[Int(record.view)].nacked += 1
            case .sent, .waiting: self.tallies[Int(record.view)].pending += 1
            }
            if let group = shard.views[Int(record.view)]?.group, !counted.contains(group) {
                counted.append(group)
                self.groups[Int(group)] += 1
            }
            index = record.next
        }
    }

    /// The counts, once there is no more to look at.
    package func result(_ shard: Shard) -> StreamCounts {
        var counts = StreamCounts()
        for (index, tally) in self.tallies.enumerated() where index < shard.views.count {
            guard let view = shard.views[index] else { continue }
            let streams = tally.acked + tally.nacked + tally.pending
            guard streams > 0, let key = shard.groups[Int(view.group)]?.key else { continue }
            counts.views.append(
                ViewStatus(
                    key: key, type: view.type, streams: streams, acked: tally.acked, nacked: tally.nacked,
                    pending: tally.pending))
        }
        for (index, streams) in self.groups.enumerated() where streams > 0 && index < shard.groups.count {
            if let key = shard.groups[index]?.key { counts.byKey[key] = streams }
        }
        for (number, streams) in self.services.enumerated() where streams > 0 {
            counts.byService[DiscoveryService.all[number]] = streams
        }
        return counts
    }
}
