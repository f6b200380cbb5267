/// Names one element of a `SlotTable`: an index that is reused, and a generation that tells reuses apart, so that an
/// event that comes late for a dead element finds nothing instead of its successor.
public struct SlotID: Hashable, Sendable {
    public var index: UInt32
    public var generation: UInt32

    @inlinable public init(index: UInt32, generation: UInt32) {
        self.index = index
        self.generation = generation
    }

    /// The same as one integer, for C user data.
    @inlinable public var packed: UInt64 { UInt64(self.generation) << 32 | UInt64(self.index) }
    @inlinable public init(packed: UInt64) {
        self.init(index: UInt32(truncatingIfNeeded: packed), generation: UInt32(truncatingIfNeeded: packed >> 32))
    }
}

/// A table whose slots are found by index in constant time and reused after removal.
///
/// Not thread safe: confined to one loop. Memory is that of the largest number of elements held at once.
public struct SlotTable<Element> {
    // Public and inlinable throughout: other modules must get code for their own element types, not calls through metadata,
    // and what is `package` is not inlined.
    @usableFromInline struct Slot {
        @usableFromInline var generation: UInt32
        @usableFromInline var element: Element?

        @inlinable init(generation: UInt32, element: Element?) {
            self.generation = generation
            self.element = element
        }
    }

    @usableFromInline var slots: ContiguousArray<Slot> = []
    @usableFromInline var free: ContiguousArray<UInt32> = []

    @inlinable public init() {}

    @inlinable public var count: Int { self.slots.count - self.free.count }
    @inlinable public var isEmpty: Bool { self.count == 0 }

    @inlinable public mutating func insert(_ element: Element) -> SlotID {
        if let index = self.free.popLast() {
            self.slots[Int(index)].element = element
            return SlotID(index: index, generation: self.slots[Int(index)].generation)
        }
        self.slots.append(Slot(generation: 1, element: element))
        return SlotID(index: UInt32(self.slots.count - 1), generation: 1)
    }

    @inlinable @discardableResult
    public mutating func remove(_ id: SlotID) -> Element? {
        guard self.contains(id) else { return nil }
        let index = Int(id.index)
        let element = self.slots[index].element.take()
        self.slots[index].generation &+= 1
        self.free.append(id.index)
        return element
    }

    @inlinable public func contains(_ id: SlotID) -> Bool {
        let index = Int(id.index)
        return index < self.slots.count && self.slots[index].generation == id.generation
            && self.slots[index].element != nil
    }

    @inlinable public subscript(id: SlotID) -> Element? {
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
    @inlinable public var ids: [SlotID] { self.ids(from: 0, limit: self.slots.count) }

    /// The live ids among `limit` slots from `start` on, in slot order.
    @inlinable public func ids(from start: Int, limit: Int) -> [SlotID] {
        guard start >= 0, start < self.slots.count else { return [] }
        return (start..<Swift.min(self.slots.count, start + limit)).compactMap { index in
            self.slots[index].element == nil
                ? nil : SlotID(index: UInt32(index), generation: self.slots[index].generation)
        }
    }
}
