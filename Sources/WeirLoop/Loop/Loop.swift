import CEv
import CWeirShims
import Glibc
package import WeirBase

/// One event loop (libev, epoll). Confined to the thread that runs it: create it there, keep it there.
///
/// Everything a loop's callbacks do happens on that one thread, so nothing confined to a loop needs a lock. Other
/// threads reach it through a `Mailbox` only. Watchers hold their loop, so a loop never dies before them.
@safe package final class Loop {
    let raw: OpaquePointer
    private let prepare: UnsafeMutablePointer<ev_prepare>
    private let check: UnsafeMutablePointer<ev_check>
    private let idle: UnsafeMutablePointer<ev_idle>

    /// Turn counter and busy flag, readable from any thread.
    package let pulse = LoopPulse()

    /// Runs once per turn, after all other work of the turn and before the loop may sleep (libev's prepare hook).
    ///
    /// The place for work that should happen once however many events asked for it. Work given to `runSoon` from here
    /// still runs in the same turn.
    package var beforeSleep: (() -> Void)?

    /// Told at the end of each turn that took longer than `slowTurnMin`, with its length: whatever else the loop had to
    /// do waited for so long. To be short itself.
    package var onSlowTurn: ((Nanoseconds) -> Void)?
    /// Turns that take longer than this are slow.
    package static let slowTurnMin = Nanoseconds.milliseconds(50)

    private var soon: [() -> Void] = []
    private var turnStart: Instant = Loop.monotonicNow()
    private var isRunning = false
    private var stopIsRequested = false
    private var anotherTurnIsWanted = false

    /// Traps only if the process has no descriptor left for an epoll instance, which can happen at start-up only.
    package init() {
        guard let raw = unsafe ev_loop_new(UInt32(EVFLAG_NOENV)) else {
            preconditionFailure("cannot create an event loop: \(SystemError.text(errno))")
        }
        unsafe self.raw = raw
        unsafe self.prepare = .allocate(capacity: 1)
        unsafe self.prepare.initialize(to: ev_prepare())
        unsafe self.check = .allocate(capacity: 1)
        unsafe self.check.initialize(to: ev_check())
        unsafe self.idle = .allocate(capacity: 1)
        unsafe self.idle.initialize(to: ev_idle())
        let context = unsafe Unmanaged.passUnretained(self).toOpaque()
        unsafe weir_ev_prepare_init(self.prepare, loopPrepared)
        unsafe self.prepare.pointee.data = context
        unsafe ev_prepare_start(raw, self.prepare)
        unsafe weir_ev_check_init(self.check, loopWokeUp)
        unsafe self.check.pointee.data = context
        unsafe ev_check_start(raw, self.check)
        unsafe weir_ev_idle_init(self.idle, loopIdled)
    }

    deinit {
        unsafe ev_idle_stop(self.raw, self.idle)
        unsafe ev_check_stop(self.raw, self.check)
        unsafe ev_prepare_stop(self.raw, self.prepare)
        unsafe self.idle.deallocate()
        unsafe self.check.deallocate()
        unsafe self.prepare.deallocate()
        unsafe ev_loop_destroy(self.raw)
    }

    /// Serves events until `stop()`. A `stop()` that came before counts: then it returns at once.
    package func run() {
        if !self.stopIsRequested {
            self.isRunning = true
            self.turnStart = Self.monotonicNow()
            unsafe ev_now_update(self.raw)
            _ = withExtendedLifetime(self) { unsafe ev_run(self.raw, 0) }
            self.isRunning = false
            self.pulse.turnEnded()
        }
        self.stopIsRequested = false
        self.runBatch()
    }

    /// Makes `run()` return at the end of the present turn. From this loop's thread only.
    package func stop() {
        self.stopIsRequested = true
        unsafe ev_break(self.raw, CInt(EVBREAK_ALL))
    }

    /// The monotonic time at which the present turn began; read from the clock once per turn. While the loop does not
    /// run, the clock itself.
    package var now: Instant { self.isRunning ? self.turnStart : Self.monotonicNow() }

    /// CLOCK_MONOTONIC: the same clock for all threads of the process.
    package static func monotonicNow() -> Instant { Instant(rawValue: Self.read(CLOCK_MONOTONIC)) }

    /// CLOCK_REALTIME, for people only.
    package static func wallNow() -> WallTime { WallTime(rawValue: Self.read(CLOCK_REALTIME)) }

    /// Runs `body` after the present callback has returned and before the loop sleeps: the safe point to let go of an
    /// object in whose callback one stands. First in, first out. Work that is added by such work runs at the latest in the
    /// next turn, without sleep between; a chain of such work cannot starve the sockets. Work that is
    /// left when the loop stops waits for the next run, and until then keeps alive what it holds.
    package func runSoon(_ body: @escaping () -> Void) { self.soon.append(body) }

    /// Begins the next turn without sleep: for work that came up in or after this turn's `beforeSleep`, and that the next
    /// one will do. Asked for earlier in the turn it changes nothing, as `beforeSleep` is still to come.
    package func turnAgain() { self.anotherTurnIsWanted = true }

    /// Timers that start while the loop does not run must not count from the time of its last turn.
    func refreshClockIfNotRunning() {
        if !self.isRunning { unsafe ev_now_update(self.raw) }
    }

    fileprivate func wokeUp() {
        self.turnStart = Self.monotonicNow()
        self.pulse.turnBegan(at: self.turnStart)
    }

    fileprivate func prepared() {
        self.runBatch()
        self.anotherTurnIsWanted = false
        self.beforeSleep?()
        self.runBatch()
        if self.soon.isEmpty, !self.anotherTurnIsWanted {
            unsafe ev_idle_stop(self.raw, self.idle)
        } else {
            unsafe ev_idle_start(self.raw, self.idle)  // an active idle watcher makes the poll return at once
        }
        self.pulse.turnEnded()
        if let onSlowTurn = self.onSlowTurn {
            let length = Self.monotonicNow() - self.turnStart
            if length > Self.slowTurnMin { onSlowTurn(length) }
        }
    }

    private func runBatch() {
        guard !self.soon.isEmpty else { return }
        let batch = self.soon
        self.soon = []
        for body in batch { body() }
    }

    private static func read(_ clock: clockid_t) -> Int64 {
        var time = timespec()
        unsafe clock_gettime(clock, &time)
        return Int64(time.tv_sec) &* 1_000_000_000 &+ Int64(time.tv_nsec)
    }
}

@c(weir_loop_prepared)
func loopPrepared(_ raw: OpaquePointer?, _ watcher: UnsafeMutablePointer<ev_prepare>?, _ events: CInt) {
    guard let context = unsafe watcher?.pointee.data else { return }
    unsafe Unmanaged<Loop>.fromOpaque(context).takeUnretainedValue().prepared()
}

@c(weir_loop_woke_up)
func loopWokeUp(_ raw: OpaquePointer?, _ watcher: UnsafeMutablePointer<ev_check>?, _ events: CInt) {
    guard let context = unsafe watcher?.pointee.data else { return }
    unsafe Unmanaged<Loop>.fromOpaque(context).takeUnretainedValue().wokeUp()
}

@c(weir_loop_idled)
func loopIdled(_ raw: OpaquePointer?, _ watcher: UnsafeMutablePointer<ev_idle>?, _ events: CInt) {}
