import CEv
import CWeirShims
package import WeirBase

/// Calls back after a time, once or again and again.
///
/// Confined to its loop. Never early by `Loop.now`: when it fires, `loop.now` has reached the due time. Resolution is
/// about a millisecond. Starting a started timer moves it. May be restarted, cancelled or released in its own callback.
@safe package final class TimerWatcher {
    private let loop: Loop
    private let raw: UnsafeMutablePointer<ev_timer>  // libev's heap holds this address
    private let onFire: () -> Void
    private var due: Instant?
    private var interval: Nanoseconds?

    package init(loop: Loop, onFire: @escaping () -> Void) {
        self.loop = loop
        self.onFire = onFire
        unsafe self.raw = .allocate(capacity: 1)
        unsafe self.raw.initialize(to: ev_timer())
        unsafe weir_ev_timer_init(self.raw, timerWatcherFired)
        unsafe self.raw.pointee.data = Unmanaged.passUnretained(self).toOpaque()
    }

    deinit {
        unsafe ev_timer_stop(self.loop.raw, self.raw)
        unsafe self.raw.deallocate()
    }

    /// Fires once, `after` from `loop.now`; a time that is past means the next turn.
    package func start(after: Nanoseconds) {
        self.interval = nil
        self.arm(at: self.loop.now + max(.zero, after))
    }

    /// Fires `after` from `loop.now` and then every `every` (at least a millisecond). Missed rounds are skipped.
    package func start(after: Nanoseconds, every: Nanoseconds) {
        self.interval = max(.milliseconds(1), every)
        self.arm(at: self.loop.now + max(.zero, after))
    }

    /// The callback is not called again until the next start.
    package func cancel() {
        self.due = nil
        unsafe ev_timer_stop(self.loop.raw, self.raw)
    }

    /// Whether it is going to fire.
    package var isActive: Bool { self.due != nil }

    private func arm(at due: Instant) {
        self.loop.refreshClockIfNotRunning()
        self.due = due
        unsafe ev_timer_stop(self.loop.raw, self.raw)
        unsafe weir_ev_timer_set(self.raw, max(.zero, due - self.loop.now).seconds)
        unsafe ev_timer_start(self.loop.raw, self.raw)
    }

    fileprivate func fire() {
        guard let due = self.due else { return }
        // libev reads its clock a moment before the loop reads the turn's, so it may count as due a moment too soon.
        guard due <= self.loop.now else { return self.arm(at: due) }
        if let interval = self.interval {
            let next = due + interval
            self.arm(at: next > self.loop.now ? next : self.loop.now + interval)
        } else {
            self.due = nil
        }
        self.onFire()
    }
}

@c(weir_timer_watcher_fired)
func timerWatcherFired(_ loop: OpaquePointer?, _ watcher: UnsafeMutablePointer<ev_timer>?, _ events: CInt) {
    guard let context = unsafe watcher?.pointee.data else { return }
    let owner = unsafe Unmanaged<TimerWatcher>.fromOpaque(context).takeUnretainedValue()
    withExtendedLifetime(owner) { owner.fire() }
}
