/// Collects the subscriptions that one update concerns, each once.
struct DirtySubscriptions {
    let generation: Generation
    var wildcard = false
    var marked: [Int32] = []

    init(generation: Generation) { self.generation = generation }

    mutating func mark(_ index: Int32, in view: TypeView) {
        guard view.subscriptions[Int(index)] != nil, view.subscriptions[Int(index)]?.changed != self.generation else {
            return
        }
        let before = view.subscriptions[Int(index)]?.changed ?? 0
        view.subscriptions[Int(index)]?.changedBefore = before
        view.subscriptions[Int(index)]?.changed = self.generation
        view.subscriptions[Int(index)]?.full = VariantSlots()
        self.marked.append(index)
    }
}
