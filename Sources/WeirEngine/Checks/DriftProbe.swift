package import WeirBase
import WeirHash
import WeirXDS

/// What a control plane says to somebody new who asks what one upstream stream of a group asks: the client side of one
/// fresh stream, which is compared with what the group holds when it is complete.
///
/// Pure: messages go in, requests and acknowledgements come out. Of what comes only names and digests are kept.
package final class DriftProbe {
    let variant: ProtocolVariant
    var questions: [DriftQuestion]
    private let node: [UInt8]
    /// Names over all questions; beyond `namesMax` the probe is given up.
    private var names = 0
    /// Why it says nothing of the group.
    package private(set) var failure: String?

    /// Bounds the memory of a probe.
    static let namesMax = 1_000_000
    /// So long after the last response of a question that has come whole, nothing more is expected.
    static let settleTime = Nanoseconds.milliseconds(500)

    init(variant: ProtocolVariant, node: [UInt8], questions: [DriftQuestion]) {
        self.variant = variant
        self.node = node
        self.questions = questions
    }

    /// The first requests of the stream, in order.
    package var requests: [[UInt8]] {
        self.questions.enumerated().map { index, question in
            let node = index == 0 ? self.node : nil
            switch self.variant {
            case .sotw:
                var request = OutgoingRequest(typeURL: question.type.typeURL)
                request.node = node
                request.resourceNames = question.wire
                return request.encoded
            case .delta:
                var request = OutgoingDeltaRequest(typeURL: question.type.typeURL)
                request.node = node
                request.subscribe = question.wire
                return request.encoded
            }
        }
    }

    /// Takes one response. Returns its acknowledgement; nil if there is nothing to say.
    package func receive(_ message: borrowing Span<UInt8>, now: Instant) -> [UInt8]? {
        guard self.failure == nil else { return nil }
        do throws(WireError) {
            switch self.variant {
            case .sotw:
                let response = try DiscoveryResponse(decoding: message)
                guard let index = self.question(message.string(response.typeURL)) else { return nil }
                let received = ResponseReader.read(response, type: self.questions[index].type, in: message)
                self.take(received, index, in: message, now)
                var request = OutgoingRequest(typeURL: self.questions[index].type.typeURL)
                request.versionInfo = received.version
                request.responseNonce = received.nonce
                request.resourceNames = self.questions[index].wire
                return request.encoded
            case .delta:
                let response = try DeltaDiscoveryResponse(decoding: message)
                guard let index = self.question(message.string(response.typeURL)) else { return nil }
                let received = ResponseReader.read(response, type: self.questions[index].type, in: message)
                self.take(received, index, in: message, now)
                var request = OutgoingDeltaRequest(typeURL: self.questions[index].type.typeURL)
                request.responseNonce = received.nonce
                return request.encoded
            }
        } catch {
            self.failure = "the upstream sent bytes that are no discovery response: \(error)"
            return nil
        }
    }

    private func question(_ typeURL: String) -> Int? {
        self.questions.firstIndex { $0.type.typeURL == typeURL }
    }

    private func take(_ received: ReceivedResponse, _ index: Int, in message: borrowing Span<UInt8>, _ now: Instant) {
        let before = self.questions[index].size
        self.questions[index].take(received, isWhole: self.variant == .sotw, in: message, now)
        self.names += self.questions[index].size - before
        if self.names > Self.namesMax {
            self.failure = "the answer has more than \(Self.namesMax) names"
            self.questions = []
        }
    }

    /// Whether nothing more is expected.
    package func isComplete(at now: Instant) -> Bool {
        self.failure != nil || self.questions.allSatisfy { $0.isComplete(at: now) }
    }

    /// Whether anything was answered.
    package var wasAnswered: Bool { self.questions.contains { $0.lastAnswer != nil } }
}

/// One type that a probe asks for: its wildcard, or names.
struct DriftQuestion {
    let type: XDSType
    let lane: Lane
    /// The names as they are asked for; empty for the legacy wildcard.
    let wire: [String]
    /// Names that are held, and that an answer must mention before it is complete.
    private(set) var awaited: Set<String>
    /// Whether an answer comes in any case.
    private let needsAnswer: Bool

    private(set) var received: [String: ContentHash] = [:]
    private(set) var aliases: [String: [String]] = [:]
    /// Said not to be there.
    private(set) var gone: Set<String> = []
    /// Nothing can be told of these: they cannot be read, have an error, live for a time, or must not be cached.
    private(set) var unclear: Set<String> = []
    /// Whether entries were lost whose names are unknown: then absence proves nothing.
    private(set) var isPartial = false
    private(set) var lastAnswer: Instant?

    init(type: XDSType, lane: Lane, wire: [String], awaited: Set<String>) {
        self.type = type
        self.lane = lane
        self.wire = wire
        self.awaited = awaited
        self.needsAnswer = lane == .wildcard
    }

    var size: Int { self.received.count + self.gone.count + self.unclear.count }

    func isComplete(at now: Instant) -> Bool {
        guard let last = self.lastAnswer else { return !self.needsAnswer && self.awaited.isEmpty }
        return self.awaited.isEmpty && now - last >= DriftProbe.settleTime
    }

    /// `isWhole`: in the types that are always sent whole, what an earlier response had counts no more.
    mutating func take(
        _ response: ReceivedResponse, isWhole: Bool, in message: borrowing Span<UInt8>, _ now: Instant
    ) {
        self.lastAnswer = now
        self.isPartial = self.isPartial || response.isPartial
        if isWhole, self.type.isFullSet {
            self.received = [:]
            self.awaited = []
        }
        for resource in response.resources {
            self.awaited.remove(resource.name)
            for alias in resource.aliases { self.awaited.remove(alias) }
            self.gone.remove(resource.name)
            let isHeartbeat = resource.any == nil
            if isHeartbeat || resource.ttl != nil || CacheControl.forbidsCaching(resource.extras, in: message) {
                self.unclear.insert(resource.name)
                continue
            }
            self.received[resource.name] = Resource.hash(any: resource.any, extras: resource.extras, in: message)
            if !resource.aliases.isEmpty { self.aliases[resource.name] = resource.aliases }
        }
        for name in response.removed {
            self.awaited.remove(name)
            self.received[name] = nil
            self.gone.insert(name)
        }
        self.unclear.formUnion(response.badNames)
        self.unclear.formUnion(response.errors.map(\.name))
        self.awaited.subtract(response.badNames)
        self.awaited.subtract(response.errors.map(\.name))
    }
}
