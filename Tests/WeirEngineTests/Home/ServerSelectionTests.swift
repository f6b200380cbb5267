import Testing
import WeirBase

@testable import WeirEngine

@Suite("Which of an upstream's servers is used")
struct ServerSelectionTests {
    /// A selection with a clock, and a server's fate by hand.
    private struct Bench {
        var selection: ServerSelection
        var generator = SeededGenerator(seed: 7)
        var now = Instant(rawValue: 0)

        init(_ servers: Int) {
            self.selection = ServerSelection(
                servers: servers, initial: .milliseconds(500), max: .seconds(30))
        }

        mutating func pass(_ time: Nanoseconds) { self.now = self.now + time }

        mutating func choose() -> Int? { self.selection.choose(self.now) }

        mutating func chooseTrial() -> Int? { self.selection.chooseTrial(self.now) }

        mutating func candidateFails() { self.selection.candidateFailed(self.now, using: &self.generator) }

        mutating func lose() { self.selection.lost(self.now, using: &self.generator) }

        mutating func trialFails() { self.selection.trialFailed(self.now, using: &self.generator) }

        mutating func connect(answers: Bool = true) {
            self.selection.connected(self.now)
            if answers { self.selection.answered() }
        }
    }

    @Test("UP-11 the first server is used; when it fails the next is tried at once, and all rest in the end")
    func orderOfPreference() {
        var bench = Bench(3)
        #expect(bench.choose() == 0)
        #expect(bench.choose() == nil, "one attempt at a time")
        bench.candidateFails()
        #expect(bench.choose() == 1)
        bench.candidateFails()
        #expect(bench.choose() == 2)
        #expect(!bench.selection.isResting(bench.now))
        bench.candidateFails()
        #expect(bench.choose() == nil && bench.selection.isResting(bench.now))
        bench.pass(.seconds(1))
        #expect(bench.choose() == 0, "all have rested: the preferred one first")
    }

    @Test("UP-10 attempts at servers that never connect grow rare, and do not stop")
    func attemptsAreBounded() {
        for servers in 1...3 {
            var bench = Bench(servers)
            var attempts: [Instant] = []
            while bench.now < Instant(rawValue: 0) + .seconds(3_600) {
                while bench.choose() != nil {
                    attempts.append(bench.now)
                    bench.candidateFails()
                }
                bench.pass(.milliseconds(100))
            }
            // Rests of 15 s on average, for each server.
            #expect((150 * servers...400 * servers).contains(attempts.count), "\(attempts.count) of \(servers)")
            let gaps = zip(attempts, attempts.dropFirst()).map { $1 - $0 }
            #expect(gaps.max() ?? .zero <= .seconds(31))
        }
    }

    @Test(
        "UP-10 servers that accept and close at once, or answer once and close, are not turned around among",
        arguments: [1, 2, 3], [false, true])
    func acceptAndClose(servers: Int, answers: Bool) {
        var bench = Bench(servers)
        var attempts = 0
        for _ in 0..<36_000 {
            while bench.choose() != nil {
                attempts += 1
                bench.connect(answers: answers)
                bench.lose()
            }
            bench.pass(.milliseconds(100))
        }
        #expect((150 * servers...400 * servers).contains(attempts), "\(attempts) in an hour")
    }

    @Test("UP-10 after a time of use a server that was lost is connected to again without delay")
    func longUseForgives() {
        var bench = Bench(1)
        for _ in 0..<8 {
            _ = bench.choose()
            bench.candidateFails()
            bench.pass(.seconds(31))
        }
        _ = bench.choose()
        bench.connect()
        bench.pass(.seconds(600))
        bench.lose()
        bench.pass(.milliseconds(501))
        #expect(bench.choose() == 0)
    }

    @Test("UP-11 while another is in use the better one is tried out, and used once it has answered")
    func returnToPreferred() {
        var bench = Bench(2)
        _ = bench.choose()
        #expect(bench.chooseTrial() == nil)
        bench.candidateFails()
        _ = bench.choose()
        bench.connect()
        bench.pass(.seconds(1))
        #expect(bench.chooseTrial() == 0)
        #expect(bench.chooseTrial() == nil, "one trial at a time")
        bench.trialFails()
        #expect(bench.selection.current == 1, "what is in use is not touched")
        bench.pass(.seconds(31))
        #expect(bench.chooseTrial() == 0)
        bench.selection.trialPassed(bench.now)
        #expect(bench.selection.current == 0 && bench.chooseTrial() == nil)
    }

    @Test("UP-11 a preferred server that answers a trial and then fails is returned to more and more rarely")
    func noPingPong() {
        var bench = Bench(2)
        var moves = 0
        for _ in 0..<36_000 {
            if bench.choose() != nil { bench.connect() }
            if bench.selection.current == 0 {
                bench.lose()
                moves += 1
            } else if bench.chooseTrial() != nil {
                bench.selection.trialPassed(bench.now)
            }
            bench.pass(.milliseconds(100))
        }
        // Up to 16 × 30 s between two returns.
        #expect((5...20).contains(moves), "\(moves) moves in an hour")
        #expect(bench.selection.current == 1)
    }

    @Test("UP-11 a preferred server that is held off is used all the same when nothing else can be")
    func heldServersAreBetterThanNone() {
        var bench = Bench(2)
        for _ in 0..<3 {
            bench.pass(.seconds(31))
            while let server = bench.choose() {
                bench.connect()
                if server == 1 { break }
                bench.lose()
            }
            bench.lose()
        }
        bench.pass(.seconds(31))
        #expect(bench.choose() != nil)
    }

    @Test("UP-20 a server that asks to connect again is connected to again at once, unless it does so always")
    func goAway() {
        var bench = Bench(1)
        _ = bench.choose()
        bench.connect()
        bench.pass(.seconds(600))
        bench.selection.askedToLeave(bench.now, using: &bench.generator)
        #expect(bench.choose() == 0)
        var attempts = 0
        for _ in 0..<36_000 {
            bench.connect()
            bench.selection.askedToLeave(bench.now, using: &bench.generator)
            while bench.choose() == nil { bench.pass(.milliseconds(100)) }
            attempts += 1
            if bench.now > Instant(rawValue: 0) + .seconds(4_200) { break }
        }
        #expect(attempts < 500, "\(attempts) in an hour")
    }

    @Test("another list of servers keeps the one in use if it is still there")
    func replaced() {
        var bench = Bench(2)
        _ = bench.choose()
        bench.candidateFails()
        _ = bench.choose()
        bench.connect()
        bench.selection.replace(positions: [nil, nil, 1], initial: .seconds(1), max: .seconds(2))
        #expect(bench.selection.current == 2 && bench.chooseTrial() == 0)
        bench.selection.replace(positions: [0], initial: .seconds(1), max: .seconds(2))
        #expect(bench.selection.current == nil && bench.choose() == 0)
    }
}
