package import WeirBase

/// Which of an upstream's servers to use: in order of preference, with a back-off for each.
///
/// - When the server in use fails, the next that is not resting is tried at once; when all rest, the one whose rest ends
///   first. A server rests for an exponential time with full jitter after each failure; only an answer makes that begin
///   anew, and for a server that answers and fails again and again not even that (UP-10).
/// - While another than the first is in use, better ones are *tried out* beside it, and used when they have answered
///   (UP-11).
/// - A server that was in use only briefly before it failed is held off: it is returned to after a time that doubles each
///   time. So one that connects and then fails makes nothing go back and forth.
///
/// Pure: events and time go in, decisions come out.
package struct ServerSelection: Sendable {
    private struct Server: Sendable {
        var backoff: Backoff
        /// No attempt before this.
        var restsUntil = Instant(rawValue: .min)
        /// Not returned to before this, while another can be used.
        var heldUntil = Instant(rawValue: .min)
        /// How often in a row it was in use only briefly.
        var briefUses = 0
    }

    private var servers: [Server]
    private var initial: Nanoseconds
    private var max: Nanoseconds
    /// The server that is connected and used.
    package private(set) var current: Int?
    /// The one that is being connected to, because none is in use.
    package private(set) var candidate: Int?
    /// The better one that is being tried out beside the current one.
    package private(set) var trial: Int?
    private var usedSince = Instant(rawValue: .min)
    /// Whether the current server has answered since it is in use.
    package private(set) var hasAnswered = false

    /// A server that was in use for less than this many times the longest back-off before it failed was so only briefly.
    private static let stableFactor: Int64 = 2
    /// How far the hold-off of a server that is used only briefly grows: 2⁴ times the longest back-off.
    private static let holdDoublingsMax = 4

    /// - Parameters:
    ///   - servers: how many there are, the preferred one first; at least one.
    ///   - initial: the ceiling of the first rest.
    ///   - max: the ceiling of all later ones.
    package init(servers: Int, initial: Nanoseconds, max: Nanoseconds) {
        precondition(servers > 0, "an upstream has a server")
        self.initial = initial
        self.max = max
        self.servers = Array(repeating: Server(backoff: Backoff(initial: initial, max: max)), count: servers)
    }

    /// Another list of servers, other times. `positions` tells for each server where it stood before: nil for those that
    /// are new. If the current one is gone, none is in use; rests and holds are forgotten.
    package mutating func replace(positions: [Int?], initial: Nanoseconds, max: Nanoseconds) {
        precondition(!positions.isEmpty, "an upstream has a server")
        self.initial = initial
        self.max = max
        self.servers = positions.map { _ in Server(backoff: Backoff(initial: initial, max: max)) }
        self.current = self.current.flatMap { positions.firstIndex(of: $0) }
        self.candidate = nil
        self.trial = nil
    }

    // MARK: Decisions

    /// The server to connect to now, because none is in use: nil if one is, or is being connected to, or all rest.
    package mutating func choose(_ now: Instant) -> Int? {
        guard self.current == nil, self.candidate == nil else { return nil }
        let awake = self.servers.indices.filter { self.servers[$0].restsUntil <= now }
        self.candidate = awake.first { self.servers[$0].heldUntil <= now } ?? awake.first
        return self.candidate
    }

    /// The better server to try out now beside the one in use.
    package mutating func chooseTrial(_ now: Instant) -> Int? {
        guard let current = self.current, self.trial == nil else { return nil }
        self.trial = self.servers[..<current].firstIndex { $0.restsUntil <= now && $0.heldUntil <= now }
        return self.trial
    }

    /// Whether nothing can be done before some time has passed: none is in use or being connected to, and all rest.
    package func isResting(_ now: Instant) -> Bool {
        self.current == nil && self.candidate == nil && self.servers.allSatisfy { $0.restsUntil > now }
    }

    package var hasOthers: Bool { self.servers.count > 1 }

    // MARK: Events

    /// The candidate is connected, and in use from now on.
    package mutating func connected(_ now: Instant) {
        guard let candidate = self.candidate else { return }
        self.candidate = nil
        self.use(candidate, now)
    }

    private mutating func use(_ server: Int, _ now: Instant) {
        self.current = server
        self.usedSince = now
        self.hasAnswered = false
    }

    /// The current server has sent a message: it works.
    package mutating func answered() {
        guard let current = self.current, !self.hasAnswered else { return }
        self.hasAnswered = true
        self.servers[current].backoff.reset(to: self.servers[current].briefUses)
    }

    /// The candidate could not be connected to.
    package mutating func candidateFailed(_ now: Instant, using generator: inout SeededGenerator) {
        guard let candidate = self.candidate else { return }
        self.candidate = nil
        self.rest(candidate, now, using: &generator)
    }

    /// The server tried out cannot be connected to, or does not answer.
    package mutating func trialFailed(_ now: Instant, using generator: inout SeededGenerator) {
        guard let trial = self.trial else { return }
        self.trial = nil
        self.rest(trial, now, using: &generator)
    }

    /// The server tried out has answered: it takes the place of the one in use.
    package mutating func trialPassed(_ now: Instant) {
        guard let trial = self.trial else { return }
        self.trial = nil
        self.use(trial, now)
    }

    /// The trial is not wanted any more; says nothing about the server.
    package mutating func trialCancelled() { self.trial = nil }

    /// The current server was lost, or has to be left because it does not answer.
    package mutating func lost(_ now: Instant, using generator: inout SeededGenerator) {
        guard let current = self.current else { return }
        self.noteEnd(of: current, now, using: &generator)
        self.rest(current, now, using: &generator)
    }

    /// The current server asked to connect again. If it was in use for a while it may be connected to at once; if not, it
    /// rests like one that was lost, or it could have us turn in circles.
    package mutating func askedToLeave(_ now: Instant, using generator: inout SeededGenerator) {
        guard let current = self.current else { return }
        if self.wasBrief(now) { return self.lost(now, using: &generator) }
        self.noteEnd(of: current, now, using: &generator)
    }

    private func wasBrief(_ now: Instant) -> Bool {
        let (stable, overflow) = self.max.rawValue.multipliedReportingOverflow(by: Self.stableFactor)
        return !self.hasAnswered || overflow || (now - self.usedSince).rawValue < stable
    }

    private mutating func noteEnd(of server: Int, _ now: Instant, using generator: inout SeededGenerator) {
        self.current = nil
        guard self.wasBrief(now) else {
            self.servers[server].briefUses = 0
            self.servers[server].backoff.reset()
            return
        }
        // The first time costs nothing: a connection may always be unlucky.
        let doublings = min(self.servers[server].briefUses, Self.holdDoublingsMax)
        if self.servers[server].briefUses > 0 {
            let (scaled, overflow) = self.max.rawValue.multipliedReportingOverflow(by: 1 << Int64(doublings))
            let ceiling = overflow ? Int64.max / 4 : scaled
            let hold = Int64.random(in: ceiling / 2...ceiling, using: &generator)
            self.servers[server].heldUntil = now + Nanoseconds(rawValue: hold)
        }
        self.servers[server].briefUses += 1
    }

    private mutating func rest(_ server: Int, _ now: Instant, using generator: inout SeededGenerator) {
        self.servers[server].restsUntil = now + self.servers[server].backoff.next(using: &generator)
    }
}
