import WeirBase
import WeirXDS

/// A push that a few streams get first, as its home sees it.
struct Trial {
    /// New with each push and each count.
    let id: Int
    /// When the first push of those that replaced each other was begun: decides in which order types reach everybody.
    let order: Int
    /// What is tried.
    let push: PushID
    let begun: Instant
    let deadline: Instant
    var phase = Phase.counting
    /// Workers whose count, or whose word that they gave it, is to come.
    var missing: UInt64
    var counts: [Int: [String: TrialCount]] = [:]
    /// By client version.
    var given: [String: Tally] = [:]
    /// Why clients rejected it, the first of them.
    var complaints: [String] = []

    enum Phase {
        case counting
        case trying
        /// Nothing speaks against it; what was begun earlier goes first.
        case passed
    }

    struct Tally {
        var given = 0
        var accepted = 0
        var rejected = 0
        var gone = 0

        var answered: Int { self.accepted + self.rejected + self.gone }
    }

    /// Pushes that replace each other put the decision off, this many times `wait` at most.
    static let waitsMax: Int64 = 4
    static let complaintsMax = 3
    static let complaintBytesMax = 2048

    /// Takes one stream's answer.
    mutating func note(_ answer: TrialAnswer, _ agent: String) {
        switch answer {
        case .accepted: self.given[agent, default: Tally()].accepted += 1
        case .gone: self.given[agent, default: Tally()].gone += 1
        case .rejected(let node, let message):
            self.given[agent, default: Tally()].rejected += 1
            guard self.complaints.count < Self.complaintsMax else { return }
            let who = agent.isEmpty ? node : "\(node) (\(agent))"
            self.complaints.append(String(decoding: "\(who): \(message)".utf8.prefix(700), as: UTF8.self))
        }
    }

    /// Whether too many streams of some client version rejected it.
    func isRejected(_ policy: RolloutPolicy) -> Bool {
        self.given.values.contains { $0.rejected * 100 > policy.nackPercentMax * max($0.given, $0.answered) }
    }

    var isAnswered: Bool { self.missing == 0 && self.given.values.allSatisfy { $0.answered >= $0.given } }
    var total: Int { self.given.values.reduce(0) { $0 + $1.given } }
    var accepted: Int { self.given.values.reduce(0) { $0 + $1.accepted } }
    var rejected: Int { self.given.values.reduce(0) { $0 + $1.rejected } }

    /// The error that the control plane is told.
    var verdict: String {
        let text =
            "rejected by \(self.rejected) of the \(self.total) clients that were sent it first: "
            + self.complaints.joined(separator: "; ")
        return String(decoding: text.utf8.prefix(Self.complaintBytesMax), as: UTF8.self)
    }

    /// How many streams of each client version each worker gives it to: those that got earlier pushes first before others,
    /// and as many client versions as possible.
    func shares(_ policy: RolloutPolicy) -> [Int: [String: Int]] {
        var total = 0
        var left: [String: [(worker: Int, count: TrialCount)]] = [:]
        for (worker, counts) in self.counts.sorted(by: { $0.key < $1.key }) {
            for (agent, count) in counts where count.firsts + count.others > 0 {
                left[agent, default: []].append((worker, count))
                total += count.firsts + count.others
            }
        }
        var shares: [Int: [String: Int]] = [:]
        var wanted = policy.first.count(of: total)
        while wanted > 0, !left.isEmpty {
            for agent in left.keys.sorted() where wanted > 0 {
                guard let worker = Self.take(&left[agent, default: []]) else {
                    left[agent] = nil
                    continue
                }
                shares[worker, default: [:]][agent, default: 0] += 1
                wanted -= 1
            }
        }
        return shares
    }

    /// The worker of one more stream; nil if none is left.
    private static func take(_ left: inout [(worker: Int, count: TrialCount)]) -> Int? {
        if let i = left.firstIndex(where: { $0.count.firsts > 0 }) {
            left[i].count.firsts -= 1
            return left[i].worker
        }
        // From where most are: a crowd can spare one.
        guard let i = left.indices.max(by: { left[$0].count.others < left[$1].count.others }), left[i].count.others > 0
        else { return nil }
        left[i].count.others -= 1
        return left[i].worker
    }
}

/// A response whose ACK or NACK waits until the push was tried.
struct PendingAnswer {
    var lane: Lane
    var stream: Int
    var nonce: String
    /// SotW: the version that an ACK accepts.
    var version: String
}
