import Glibc
import Testing
import WeirBase

@testable import WeirLoop

@Suite("Loop and timers")
struct LoopTests {
    @Test("timers fire in the order of their due times, never early by the loop's clock")
    func order() {
        let loop = Loop()
        let started = Loop.monotonicNow()
        var fired: [(Int64, Instant)] = []
        var timers: [TimerWatcher] = []
        for delay in [Int64(30), 10, 20] {
            let timer = TimerWatcher(loop: loop) { [unowned loop] in
                fired.append((delay, loop.now))
                if fired.count == 3 { loop.stop() }
            }
            timer.start(after: .milliseconds(delay))
            timers.append(timer)
        }
        runBounded(loop)
        #expect(fired.map(\.0) == [10, 20, 30])
        #expect(fired.allSatisfy { $0.1 - started >= .milliseconds($0.0) })
        #expect(timers.allSatisfy { !$0.isActive })
    }

    @Test("a repeating timer goes on until it is cancelled in its own callback")
    func repeating() {
        let loop = Loop()
        var timer: TimerWatcher?
        var count = 0
        timer = TimerWatcher(loop: loop) {
            count += 1
            if count == 5 { timer?.cancel() }
        }
        timer?.start(after: .zero, every: .milliseconds(1))
        let end = TimerWatcher(loop: loop) { [unowned loop] in loop.stop() }
        end.start(after: .milliseconds(50))
        runBounded(loop)
        #expect(count == 5)
        #expect(timer?.isActive == false)
        timer = nil
    }

    @Test("a timer that is released in its own callback is gone, and the loop goes on")
    func releasedInCallback() {
        let loop = Loop()
        let count = Counter()
        var timer: TimerWatcher? = TimerWatcher(loop: loop) {}
        timer = TimerWatcher(loop: loop) {
            timer = nil
            count.value += 1
        }
        weak let watched = timer
        timer?.start(after: .zero, every: .milliseconds(1))
        let end = TimerWatcher(loop: loop) { [unowned loop] in loop.stop() }
        end.start(after: .milliseconds(20))
        runBounded(loop)
        #expect(count.value == 1)
        #expect(watched == nil)
    }

    @Test("restarting a timer moves it")
    func restarting() {
        let loop = Loop()
        var fired = 0
        let timer = TimerWatcher(loop: loop) { fired += 1 }
        timer.start(after: .milliseconds(1))
        timer.start(after: .seconds(100))
        let end = TimerWatcher(loop: loop) { [unowned loop] in loop.stop() }
        end.start(after: .milliseconds(20))
        runBounded(loop)
        #expect(fired == 0)
        #expect(timer.isActive)
    }

    @Test("soon-work runs in order, after the callback")
    func soon() {
        let loop = Loop()
        var log: [String] = []
        let timer = TimerWatcher(loop: loop) { [unowned loop] in
            loop.runSoon { log.append("first") }
            loop.runSoon {
                log.append("second")
                loop.runSoon {
                    log.append("third")
                    loop.stop()
                }
            }
            log.append("callback")
        }
        timer.start(after: .zero)
        runBounded(loop)
        #expect(log == ["callback", "first", "second", "third"])
    }

    @Test("another turn that is asked for while the loop is about to sleep comes without sleep")
    func turnAgain() {
        let loop = Loop()
        var turns = 0
        loop.beforeSleep = { [unowned loop] in
            turns += 1
            if turns < 3 { loop.turnAgain() }
            // Also what asks from the work that is done last.
            if turns == 3 { loop.runSoon { loop.turnAgain() } }
            if turns == 4 { loop.stop() }
        }
        // Nothing else wakes the loop before the watchdog does.
        runBounded(loop)
        #expect(turns == 4)
    }

    @Test("soon-work that adds soon-work for ever neither sleeps nor keeps timers from firing")
    func endlessSoon() {
        let loop = Loop()
        var rounds = 0
        var isOver = false
        func again() {
            rounds += 1
            if isOver { loop.stop() } else { loop.runSoon { again() } }
        }
        loop.runSoon { again() }
        let timer = TimerWatcher(loop: loop) { isOver = true }
        timer.start(after: .milliseconds(20))
        runBounded(loop)
        #expect(rounds > 20)
    }

    @Test("the hook before sleep runs once per turn, and its soon-work in the same turn")
    func beforeSleep() {
        let loop = Loop()
        var turnsSeen: [UInt64] = []
        var soonTurn: UInt64 = 0
        loop.beforeSleep = { [unowned loop] in
            turnsSeen.append(loop.pulse.turns)
            let turn = loop.pulse.turns
            if turn == 2 { loop.runSoon { soonTurn = loop.pulse.turns } }
        }
        let timer = TimerWatcher(loop: loop) { [unowned loop] in if loop.pulse.turns >= 5 { loop.stop() } }
        timer.start(after: .zero, every: .milliseconds(1))
        runBounded(loop)
        loop.beforeSleep = nil
        #expect(soonTurn == 2)
        #expect(Set(turnsSeen).count == turnsSeen.count)
        #expect(turnsSeen.count >= 5)
    }

    @Test("a stop before the run counts, and a loop can run again")
    func stopBeforeRun() {
        let loop = Loop()
        loop.stop()
        loop.run()
        let timer = TimerWatcher(loop: loop) { [unowned loop] in loop.stop() }
        timer.start(after: .milliseconds(1))
        runBounded(loop)
        #expect(!timer.isActive)
    }

    @Test("another thread sees a wedged loop")
    func wedged() {
        let hold = Mailbox<Int>(capacity: 1)
        let pulses = Locked<LoopPulse?>(nil)
        let thread = WorkerThread(name: "wedged") {
            let loop = Loop()
            pulses.withLock { $0 = loop.pulse }
            let timer = TimerWatcher(loop: loop) { [unowned loop] in
                while hold.count == 0 { sched_yield() }
                loop.stop()
            }
            timer.start(after: .zero)
            loop.run()
        }
        while true {
            let pulse = pulses.withLock { $0 }
            if let pulse, pulse.lag(at: Loop.monotonicNow()) > .milliseconds(5) { break }
            sched_yield()
        }
        hold.post(1)
        thread.join()
        let pulse = pulses.withLock { $0 }
        #expect(pulse?.isBusy == false)
        #expect((pulse?.turns ?? 0) >= 1)
    }

    @Test("a turn that takes longer than 50 ms is told with its length, and no other")
    func slowTurn() {
        let loop = Loop()
        var told: [Nanoseconds] = []
        var fired = 0
        loop.onSlowTurn = { told.append($0) }
        let timer = TimerWatcher(loop: loop) { [unowned loop] in
            fired += 1
            let start = Loop.monotonicNow()
            // The second of three.
            while fired == 2, Loop.monotonicNow() - start <= .milliseconds(60) { sched_yield() }
            if fired == 3 { loop.stop() }
        }
        timer.start(after: .zero, every: .milliseconds(1))
        runBounded(loop)
        // Others may have had the processor for long in any turn; ours is among those that are told.
        #expect(told.contains { $0 > .milliseconds(60) })
        #expect(told.allSatisfy { $0 > Loop.slowTurnMin })
    }

    @Test("a signal reaches its watcher, and the process lives on")
    func signal() {
        let seen = Locked(0)
        let thread = WorkerThread(name: "signals") {
            let loop = Loop()
            let watcher = SignalWatcher(loop: loop, signal: SIGUSR1) { [unowned loop] in
                seen.withLock { $0 += 1 }
                loop.stop()
            }
            pthread_kill(pthread_self(), SIGUSR1)
            withExtendedLifetime(watcher) { runBounded(loop) }
        }
        thread.join()
        #expect(seen.withLock { $0 } == 1)
    }
}
