/// Names one element of a `SlotTable`: an index that is reused, and a generation that tells reuses apart, so that an
/// event that comes late for a dead element finds nothing instead of its successor.
package struct SlotID: Hashable, Sendable {
    package var index: UInt32
    package var generation: UInt32

    package init(index: UInt32, generation: UInt32) {
        self.index = index
        self.generation = generation
    }

    /// The same as one integer, for C user data.
    package var packed: UInt64 { UInt64(self.generation) << 32 | UInt64(self.index) }
    package init(packed: UInt64) {
        self.init(index: UInt32(truncatingIfNeeded: packed), generation: UInt32(truncatingIfNeeded: packed >> 32))
    }
}

/// A table whose slots are found by index in constant time and reused after removal.
///
/// Not thread safe: confined to one loop. Memory is that of the largest number of elements held at once.
package struct SlotTable<Element> {
    private struct Slot {
        var generation: UInt32
        var element: Element?
    }

    private var slots: ContiguousArray<Slot> = []
    private var free: ContiguousArray<UInt32> = []

    package init() {}

    package var count: Int { self.slots.count - self.free.count }
    package var isEmpty: Bool { self.count == 0 }

    package mutating func insert(_ element: Element) -> SlotID {
        if let index = self.free.popLast() {
            self.slots[Int(index)].element = element
            return SlotID(index: index, generation: self.slots[Int(index)].generation)
        }
        self.slots.append(Slot(generation: 1, element: element))
        return SlotID(index: UInt32(self.slots.count - 1), generation: 1)
    }

    @discardableResult
    package mutating func remove(_ id: SlotID) -> Element? {
        guard self.contains(id) else { return nil }
        let index = Int(id.index)
        let element = self.slots[index].element.take()
        self.slots[index].generation &+= 1
        self.free.append(id.index)
        return element
    }

    package func contains(_ id: SlotID) -> Bool {
        let index = Int(id.index)
        return index < self.slots.count && self.slots[index].generation == id.generation
            && self.slots[index].element != nil
    }

    package subscript(id: SlotID) -> Element? {
        get { self.contains(id) ? self.slots[Int(id.index)].element : nil }
        _modify {
            if self.contains(id) {
                yield &self.slots[Int(id.index)].element
            } else {
                var nothing: Element? = nil
                yield &nothing
            }
        }
    }

    /// The live ids, in slot order.
    package var ids: [SlotID] { self.ids(from: 0, limit: self.slots.count) }

    /// The live ids among `limit` slots from `start` on, in slot order.
    package func ids(from start: Int, limit: Int) -> [SlotID] {
        guard start >= 0, start < self.slots.count else { return [] }
        return (start..<Swift.min(self.slots.count, start + limit)).compactMap { index in
            self.slots[index].element == nil
                ? nil : SlotID(index: UInt32(index), generation: self.slots[index].generation)
        }
    }
}
