import Synchronization

/// A mutex whose order of holders the thread sanitizer can see.
///
/// On Linux the sanitizer knows nothing of `Mutex`, a bare futex, and reports every access under it as a race. It does
/// understand `Atomic`: each holder acquires what the one before released, which says the same thing once more.
struct WitnessedMutex<Value: Sendable>: ~Copyable, Sendable {
    private let mutex: Mutex<Value>
    private let witness = Atomic<UInt8>(0)

    init(_ value: Value) { self.mutex = Mutex(value) }

    func withLock<Result: Sendable>(_ body: (inout Value) -> Result) -> Result {
        self.mutex.withLock { value in
            _ = self.witness.load(ordering: .acquiring)
            defer { self.witness.store(0, ordering: .releasing) }
            return body(&value)
        }
    }
}
