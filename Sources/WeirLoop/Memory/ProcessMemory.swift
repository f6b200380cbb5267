import CWeirShims

/// The process's own memory.
package enum ProcessMemory {
    /// Gives back to the system what the program has freed and the allocator keeps. Takes a while with much memory, and
    /// holds the allocator's locks meanwhile. Any thread.
    package static func giveBack() { weir_malloc_trim() }

    /// Has this thread's part of the heap grow by a hundred kilobytes, if it has fewer free at its end, for what is about to
    /// be allocated. Of itself it grows by a page, and each time asks the kernel for that. What is not touched is not
    /// backed.
    package static func growAhead() { weir_malloc_ahead(112 << 10) }
}
