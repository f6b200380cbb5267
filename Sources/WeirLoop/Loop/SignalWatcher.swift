import CWeirShims
import Glibc

/// Process-wide signal set-up. `main` calls these first, before any thread is made, because threads inherit the mask.
package enum Signals {
    /// A write to a closed socket then fails with EPIPE instead of ending the process.
    package static func ignorePipe() { _ = signal(SIGPIPE, SIG_IGN) }

    /// Blocks every signal that can be blocked in this thread and in those it starts, except the ones that report a
    /// fault of the program itself. Blocked signals stay pending until a `SignalWatcher` takes them.
    package static func blockAll() {
        var set = sigset_t()
        unsafe sigfillset(&set)
        for fault in [SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS] { unsafe sigdelset(&set, fault) }
        unsafe pthread_sigmask(SIG_BLOCK, &set, nil)
    }

    /// A fault of the program ends it at once, without the report that a debugger, the runtime or a sanitizer would make of
    /// it: for a process whose end is an answer.
    package static func endSilentlyOnFaults() {
        for fault in [SIGSEGV, SIGBUS] { _ = signal(fault, SIG_DFL) }
    }

    static func only(_ number: CInt) -> sigset_t {
        var set = sigset_t()
        unsafe sigemptyset(&set)
        unsafe sigaddset(&set, number)
        return set
    }
}

/// Takes one signal on a loop (signalfd, so nothing runs in a signal handler).
///
/// Blocks the signal in the calling thread; all other threads must block it as well (`Signals.blockAll()` early in
/// `main`), else the kernel may deliver it there. Confined to its loop. Several arrivals between two turns count once.
@safe package final class SignalWatcher {
    private let descriptor: Descriptor
    private var watcher: IOWatcher?

    /// Traps only if the process has no descriptor left, which can happen at start-up only.
    package init(loop: Loop, signal number: CInt, onSignal: @escaping () -> Void) {
        var set = Signals.only(number)
        unsafe pthread_sigmask(SIG_BLOCK, &set, nil)
        let raw = unsafe weir_signalfd_open(&set)
        precondition(raw >= 0, "cannot watch signal \(number): \(SystemError.text(errno))")
        let descriptor = Descriptor(raw)
        self.descriptor = descriptor
        let watcher = IOWatcher(loop: loop, descriptor: raw) { _ in
            if Self.drain(descriptor.rawValue) { onSignal() }
        }
        watcher.interest = .read
        self.watcher = watcher
    }

    deinit { self.cancel() }

    /// No more calls. The signal stays blocked.
    package func cancel() {
        self.watcher?.cancel()
        self.watcher = nil
    }

    /// Whether anything had arrived.
    private static func drain(_ descriptor: CInt) -> Bool {
        var any = false
        unsafe withUnsafeTemporaryAllocation(of: signalfd_siginfo.self, capacity: 1) { info in
            while unsafe Glibc.read(descriptor, info.baseAddress, MemoryLayout<signalfd_siginfo>.size) > 0 {
                any = true
            }
        }
        return any
    }
}
