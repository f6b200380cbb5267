import WeirBase
import WeirEngine
import WeirUpstream
import WeirXDS

/// Why a client lacks a resource: one word for programs, a sentence for people.
struct MissingReason: Equatable, Sendable {
    enum Word: String, CaseIterable, Sendable {
        case neverSent = "never_sent"
        case doesNotExist = "does_not_exist"
        case resourceError = "resource_error"
        case held
        case waitingForACK = "waiting_for_ack"
        case notRead = "not_read"
        case waitingForUpstream = "waiting_for_upstream"
        case upstreamUnavailable = "upstream_unavailable"
        case due
        case unknown
    }

    var word: Word
    var detail: String

    init(_ word: Word, _ detail: String) {
        self.word = word
        self.detail = detail
    }

    /// From what the client's worker and, where it was asked, the group's home know.
    static func of(_ missing: MissingName, nonce: Nonce, _ origins: [OriginExplanation]) -> MissingReason {
        switch missing.cause {
        case .error(let error): return Self.of(error)
        case .unsent(.acknowledgement):
            return MissingReason(.waitingForACK, "the client has not answered the response with nonce \(nonce.text)")
        case .unsent(.transport):
            return MissingReason(.notRead, "the client has not read what it was sent before")
        case .unsent(.none): return MissingReason(.due, "it goes out next")
        case .nothingHere: break
        }
        guard let origin = origins.first(where: { $0.names[missing.name] != nil }) ?? origins.first else {
            return MissingReason(.unknown, "the worker that is home to the group did not answer")
        }
        return Self.of(origin.names[missing.name] ?? .notAsked, origin)
    }

    private static func of(_ name: OriginExplanation.Name, _ origin: OriginExplanation) -> MissingReason {
        switch name {
        case .withheld:
            return MissingReason(.held, "version \(origin.version) has it and is held: \(origin.hold?.detail ?? "")")
        case .absent:
            return MissingReason(
                .doesNotExist, "upstream \(origin.upstream) said so, or did not answer for it in time")
        case .error(let error): return Self.of(error)
        case .present: return MissingReason(.due, "it has just come")
        case .asked, .neverSent, .notAsked: break
        }
        if let waiting = Self.ofUpstream(origin) { return waiting }
        if case .asked(let remaining) = name {
            let seconds = (remaining.rawValue + 999_999_999) / 1_000_000_000
            return MissingReason(
                .waitingForUpstream,
                "upstream \(origin.upstream) was asked; without an answer it counts as not existing in \(seconds) s")
        }
        if case .notAsked = name {
            return MissingReason(.waitingForUpstream, "upstream \(origin.upstream) is about to be asked")
        }
        return MissingReason(.neverSent, "upstream \(origin.upstream) was asked and has sent nothing of that name")
    }

    /// Why nothing can come from an upstream at present; nil if it can.
    static func ofUpstream(_ origin: OriginExplanation) -> MissingReason? {
        if origin.isHeldBack {
            return MissingReason(.waitingForUpstream, "what was stored is kept until the upstream has had its say")
        }
        guard !origin.isStreamOpen else { return nil }
        let error = origin.state.lastError
        return MissingReason(
            .upstreamUnavailable,
            "there is no stream to upstream \(origin.upstream)" + (error.isEmpty ? "" : ": \(error)"))
    }

    private static func of(_ error: ResourceError) -> MissingReason {
        MissingReason(.resourceError, "the upstream says: code \(error.code): \(error.message)")
    }
}
