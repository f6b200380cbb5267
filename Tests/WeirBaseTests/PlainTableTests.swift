import Testing
import WeirBase

@Suite struct PlainTableTests {
    @Test func elementsKeepTheirValuesWhileTheTableGrows() {
        let table = PlainTable<Int>()
        for number in 0..<5000 { table.append(number) }
        for number in stride(from: 0, to: 5000, by: 7) { table[number] += 1 }
        #expect(table.count == 5000)
        #expect(table.enumerated().allSatisfy { $0.element == ($0.offset % 7 == 0 ? $0.offset + 1 : $0.offset) })
    }

    @Test func anIndexBeyondTheEndIsOurFault() async {
        await #expect(processExitsWith: .failure) {
            let table = PlainTable<Int>()
            table.append(1)
            table[1] = 2
        }
    }

    @Test func anElementMayBeChangedWhileTheTableGrows() {
        let table = PlainTable<Int>()
        table.append(0)
        func grow(_ element: inout Int) {
            for _ in 0..<2000 { table.append(7) }
            element = 3
        }
        grow(&table[0])
        #expect(table[0] == 3)
        #expect(table.count == 2001)
    }
}

@Suite struct CellTests {
    @Test func holdsAndLetsGoOfItsValue() {
        final class Thing {}
        weak var thing: Thing?
        do {
            let cell = Cell([Thing]())
            cell.value.append(Thing())
            thing = cell.value.first
            #expect(thing != nil)
        }
        #expect(thing == nil)
    }

    #if DEBUG
        @Test func overlappingAccessesTrapInDebugBuilds() async {
            await #expect(processExitsWith: .failure) {
                let cell = Cell(1)
                func read(_ value: inout Int) { value = cell.value }
                read(&cell.value)
            }
        }
    #endif
}
