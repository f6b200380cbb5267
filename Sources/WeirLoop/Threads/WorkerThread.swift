import CEv
import CWeirShims
import Glibc
import Synchronization

/// A thread. What it works on is born inside `body`, and dies there.
package final class WorkerThread: Sendable {
    /// As the kernel shows it.
    package let name: String
    private let handle: pthread_t
    private let isJoined = Atomic<Bool>(false)

    /// Starts the thread at once.
    ///
    /// - Parameters:
    ///   - name: what `top -H` and debuggers show; the kernel keeps the first 15 bytes.
    ///   - stackSize: in bytes; 1 MiB by default, at least 64 KiB.
    ///   - body: `sending`, so that nothing it captures is still used elsewhere.
    package init(name: String, stackSize: Int = 1 << 20, body: sending @escaping () -> Void) {
        self.name = name
        var attributes = pthread_attr_t()
        unsafe pthread_attr_init(&attributes)
        unsafe pthread_attr_setstacksize(&attributes, max(stackSize, 64 << 10))
        let start = unsafe Unmanaged.passRetained(ThreadStart(name: name, body: body))
        var handle = pthread_t()
        let result = unsafe pthread_create(&handle, &attributes, workerThreadMain, start.toOpaque())
        unsafe pthread_attr_destroy(&attributes)
        precondition(result == 0, "cannot start thread \(name): \(SystemError.text(result))")
        self.handle = handle
    }

    deinit {
        if !self.isJoined.load(ordering: .relaxed) { pthread_detach(self.handle) }
    }

    /// Keeps the calling thread on one of the first 64 processors; nothing changes if there is none of that number.
    package static func stay(onProcessor number: UInt32) { weir_run_on(number) }

    /// Waits until the body has returned. A second call returns at once.
    package func join() {
        guard !self.isJoined.exchange(true, ordering: .relaxed) else { return }
        pthread_join(self.handle, nil)
    }
}

/// Carries the body over to the new thread, which takes the one reference.
private final class ThreadStart {
    let name: String
    let body: () -> Void

    init(name: String, body: @escaping () -> Void) {
        self.name = name
        self.body = body
    }
}

@c(weir_worker_thread_main)
func workerThreadMain(_ context: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    guard let context = unsafe context else { return nil }
    let start = unsafe Unmanaged<ThreadStart>.fromOpaque(context).takeRetainedValue()
    unsafe start.name.withCString { unsafe weir_name_this_thread($0) }
    start.body()
    return nil
}
