import Glibc

/// A value behind a mutex.
///
/// The project's one lock type. The pthread form is used instead of `Synchronization.Mutex` because the thread
/// sanitizer on Linux sees the former and reports false races for the latter.
///
/// `@unchecked Sendable`, the only one of the project: `value` is touched under `mutex` only, and the mutex has an
/// address of its own that never moves.
@safe package final class Locked<Value: Sendable>: @unchecked Sendable {
    private let mutex: UnsafeMutablePointer<pthread_mutex_t>
    private var value: Value

    package init(_ value: Value) {
        self.value = value
        unsafe self.mutex = .allocate(capacity: 1)
        unsafe self.mutex.initialize(to: pthread_mutex_t())
        let result = unsafe pthread_mutex_init(self.mutex, nil)
        precondition(result == 0, "a default mutex cannot fail to initialise")
    }

    deinit {
        unsafe pthread_mutex_destroy(self.mutex)
        unsafe self.mutex.deallocate()
    }

    /// Keep `body` short: no calls out, no I/O. Not recursive.
    package func withLock<Result>(_ body: (inout Value) throws -> Result) rethrows -> Result {
        unsafe pthread_mutex_lock(self.mutex)
        defer { unsafe pthread_mutex_unlock(self.mutex) }
        return try body(&self.value)
    }
}
