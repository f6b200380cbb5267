import CWeirShims

/// The process's own memory.
package enum ProcessMemory {
    /// Gives back to the system what the program has freed and the allocator keeps. Takes a while with much memory, and
    /// holds the allocator's locks meanwhile. Any thread.
    package static func giveBack() { weir_malloc_trim() }
}
