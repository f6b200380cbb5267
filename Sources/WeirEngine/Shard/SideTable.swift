/// Rare extra state of a few elements, by index.
struct SideTable<Element> {
    private var elements: ContiguousArray<Element?> = []
    private var free: [Int32] = []

    mutating func insert(_ element: Element) -> Int32 {
        if let index = self.free.popLast() {
            self.elements[Int(index)] = element
            return index
        }
        self.elements.append(element)
        return Int32(self.elements.count - 1)
    }

    mutating func remove(_ index: Int32) {
        self.elements[Int(index)] = nil
        self.free.append(index)
    }

    subscript(index: Int32) -> Element? {
        _read { yield self.elements[Int(index)] }
        _modify { yield &self.elements[Int(index)] }
    }
}

extension Array {
    /// Removes an element by putting the last one in its place; returns that one if it moved.
    mutating func swapRemove(at position: Int) -> Element? {
        let last = self.removeLast()
        guard position < self.count else { return nil }
        self[position] = last
        return last
    }
}
