import CEv
import CWeirShims

/// What a descriptor is ready for, or what one wants to be told of.
package struct Readiness: OptionSet, Hashable, Sendable {
    package let rawValue: UInt8
    package init(rawValue: UInt8) { self.rawValue = rawValue }

    package static let read = Readiness(rawValue: 1)
    package static let write = Readiness(rawValue: 2)

    init(libev events: CInt) {
        self = []
        if events & CInt(EV_READ) != 0 { self.insert(.read) }
        if events & CInt(EV_WRITE) != 0 { self.insert(.write) }
    }

    var libev: CInt {
        (self.contains(.read) ? CInt(EV_READ) : 0) | (self.contains(.write) ? CInt(EV_WRITE) : 0)
    }
}

/// Tells when a descriptor is ready. Level triggered: what is not read now is told again next turn.
///
/// Confined to its loop. Does not own the descriptor; cancel the watcher before the descriptor is closed, because the
/// kernel gives the number away at once. May be cancelled or released in its own callback. An error on the descriptor
/// is told as both readinesses: the read or write that follows will say which it is.
@safe package final class IOWatcher {
    private let loop: Loop
    private let raw: UnsafeMutablePointer<ev_io>  // libev links this address into its lists
    private let onReady: (Readiness) -> Void
    private var wanted: Readiness = []
    private var isCancelled = false

    /// Watches nothing until `interest` is set.
    package init(loop: Loop, descriptor: CInt, onReady: @escaping (Readiness) -> Void) {
        precondition(descriptor >= 0, "an IOWatcher needs an open descriptor")
        self.loop = loop
        self.onReady = onReady
        unsafe self.raw = .allocate(capacity: 1)
        unsafe self.raw.initialize(to: ev_io())
        unsafe weir_ev_io_init(self.raw, ioWatcherReady, descriptor)
        unsafe self.raw.pointee.data = Unmanaged.passUnretained(self).toOpaque()
    }

    deinit {
        unsafe ev_io_stop(self.loop.raw, self.raw)
        unsafe self.raw.deallocate()
    }

    /// What to be told of; empty stops the watcher. Setting what is set already costs nothing.
    package var interest: Readiness {
        get { self.wanted }
        set {
            guard newValue != self.wanted, !self.isCancelled else { return }
            self.wanted = newValue
            unsafe ev_io_stop(self.loop.raw, self.raw)
            guard !newValue.isEmpty else { return }
            unsafe weir_ev_io_modify(self.raw, newValue.libev)
            unsafe ev_io_start(self.loop.raw, self.raw)
        }
    }

    /// Ends the watch for good: the callback is not called again.
    package func cancel() {
        self.interest = []
        self.isCancelled = true
    }

    fileprivate func fire(_ events: CInt) {
        // After an error of the poll itself libev has stopped the watcher.
        if events & CInt(truncatingIfNeeded: EV_ERROR) != 0 { self.wanted = [] }
        self.onReady(Readiness(libev: events))
    }
}

@c(weir_io_watcher_ready)
func ioWatcherReady(_ loop: OpaquePointer?, _ watcher: UnsafeMutablePointer<ev_io>?, _ events: CInt) {
    guard let context = unsafe watcher?.pointee.data else { return }
    let owner = unsafe Unmanaged<IOWatcher>.fromOpaque(context).takeUnretainedValue()
    // The callback may drop the last reference to its watcher.
    withExtendedLifetime(owner) { owner.fire(events) }
}
