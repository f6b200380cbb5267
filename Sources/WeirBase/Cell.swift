/// One value in memory of its own, for the state that a class touches for every stream.
///
/// Swift checks each access to a stored `var` of a class when the program runs, some 70 instructions each, unless it can
/// prove that there is no other at the same time; a third of the work of a push went there. What a class keeps behind a
/// `let` cell is not checked in release builds. In debug builds, in which the tests, the simulation and the sanitizers
/// run, an access that overlaps another traps as it would without the cell.
///
/// So the rule is: an access reads or writes a property, or is one call of a method of `Value` that calls nothing from
/// which the cell could be reached (no delegate, no C library that calls back). Not for values that methods hand out
/// while they change. Confined to one thread, as its owner.
@safe public struct Cell<Value: ~Copyable>: ~Copyable {
    @usableFromInline let memory: UnsafeMutablePointer<Value>
    #if DEBUG
        /// How many read it; -1 while it is changed.
        @usableFromInline let accesses: UnsafeMutablePointer<Int>
    #endif

    @inlinable public init(_ value: consuming Value) {
        unsafe self.memory = .allocate(capacity: 1)
        unsafe self.memory.initialize(to: value)
        #if DEBUG
            unsafe self.accesses = .allocate(capacity: 1)
            unsafe self.accesses.initialize(to: 0)
        #endif
    }

    @inlinable deinit {
        unsafe self.memory.deinitialize(count: 1)
        unsafe self.memory.deallocate()
        #if DEBUG
            unsafe self.accesses.deallocate()
        #endif
    }

    /// Notes where the value stands.
    package func note(in footprint: inout Footprint) { unsafe footprint.add(UnsafeRawPointer(self.memory)) }

    @inlinable public var value: Value {
        @inline(__always) _read {
            #if DEBUG
                unsafe precondition(self.accesses.pointee >= 0, "a cell is read while it is changed")
                unsafe self.accesses.pointee += 1
                defer { unsafe self.accesses.pointee -= 1 }
            #endif
            yield unsafe self.memory.pointee
        }
        @inline(__always) nonmutating _modify {
            #if DEBUG
                unsafe precondition(self.accesses.pointee == 0, "a cell is changed while it is accessed")
                unsafe self.accesses.pointee = -1
                defer { unsafe self.accesses.pointee = 0 }
            #endif
            yield unsafe &self.memory.pointee
        }
    }
}
