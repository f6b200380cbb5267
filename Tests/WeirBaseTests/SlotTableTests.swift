import Testing

@testable import WeirBase

@Suite struct SlotTableTests {
    @Test("an id finds its element until it is removed, and never its successor")
    func generations() {
        var table = SlotTable<String>()
        let first = table.insert("a")
        #expect(table[first] == "a")
        #expect(table.remove(first) == "a")
        #expect(table.remove(first) == nil)
        let second = table.insert("b")
        #expect(second.index == first.index)
        #expect(second != first)
        #expect(table[first] == nil)
        #expect(!table.contains(first))
        table[first] = "c"
        #expect(table[second] == "b")
        table[second]? += "!"
        #expect(table[second] == "b!")
    }

    @Test("ids outside the table find nothing")
    func outside() {
        var table = SlotTable<Int>()
        #expect(table[SlotID(index: 5, generation: 1)] == nil)
        #expect(table.remove(SlotID(index: .max, generation: .max)) == nil)
        #expect(table.ids(from: 3, limit: 10) == [])
        #expect(table.ids(from: -1, limit: 10) == [])
    }

    @Test("an id survives being packed")
    func packed() {
        for id in [
            SlotID(index: 0, generation: 1), SlotID(index: .max, generation: .max), SlotID(index: 7, generation: 9),
        ] {
            #expect(SlotID(packed: id.packed) == id)
        }
    }

    @Test("the live ids come in slot order, in pieces too")
    func ids() {
        var table = SlotTable<Int>()
        let ids = (0..<10).map { table.insert($0) }
        for id in ids where id.index % 3 == 0 { table.remove(id) }
        #expect(table.ids.map(\.index) == [1, 2, 4, 5, 7, 8])
        #expect(table.ids(from: 4, limit: 3).map(\.index) == [4, 5])
        #expect(table.count == 6)
    }

    @Test("a table behaves as a dictionary does, whatever happens to it")
    func model() {
        var generator = SeededGenerator(seed: 1)
        var table = SlotTable<Int>()
        var model: [SlotID: Int] = [:]
        var dead: [SlotID] = []
        for value in 0..<5_000 {
            if Bool.random(using: &generator) || model.isEmpty {
                let id = table.insert(value)
                #expect(model.updateValue(value, forKey: id) == nil)
            } else if let id = table.ids.randomElement(using: &generator) {
                #expect(table.remove(id) == model.removeValue(forKey: id))
                dead.append(id)
            }
            #expect(table.count == model.count)
        }
        #expect(model.allSatisfy { table[$0.key] == $0.value })
        #expect(dead.allSatisfy { table[$0] == nil })
    }
}
