import Glibc
import Testing
import WeirBase
import WeirLoop

@testable import WeirServer

@Suite("The thread of answers") struct AdminThreadTests {
    /// An answer that is made in pieces, without end, and holds the thread that makes it.
    private final class Answer: Sendable {
        let pieces = Locked(0)

        func write(on thread: AdminThread) {
            self.pieces.withLock { $0 += 1 }
            thread.run { self.write(on: thread) }
        }
    }

    @Test("an answer that is half made when the thread stops is let go of, and the thread with it")
    func stoppedInTheMidst() {
        weak var answer: Answer?
        weak var thread: AdminThread?
        do {
            let (half, renderer) = (Answer(), AdminThread())
            (answer, thread) = (half, renderer)
            half.write(on: renderer)
            while half.pieces.withLock({ $0 }) < 3 { sched_yield() }
            renderer.stop()
            // What asks too late, at once or later, is let go of, too.
            half.write(on: renderer)
            renderer.run(after: .seconds(60)) { half.write(on: renderer) }
        }
        #expect(answer == nil)
        #expect(thread == nil)
    }
}
