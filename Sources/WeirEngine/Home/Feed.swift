import WeirBase
import WeirXDS

/// One upstream subscription: a type's wildcard, or its names. The client side of the protocol, for both variants.
///
/// A feed stays on the upstream stream it began on. Everything here that depends on the stream is reset when it closes.
final class Feed {
    let type: XDSType
    let lane: Lane
    /// The number of the upstream stream it is on.
    let stream: Int

    /// Wildcard: the workers that want it.
    var wildcardWorkers: UInt64 = 0
    /// Names: the workers that want each; a name without workers lingers.
    var names: [String: UInt64] = [:] {
        didSet {
            self.encodedNames = nil
            self.isTold = false
        }
    }
    /// The names in order, as a SotW request has them; nil where they have changed since.
    private var encodedNames: [UInt8]?
    /// Those of the names that are glob collections.
    var globs: Set<String> = []
    /// Resources that a glob collection brought, with its name.
    var members: [String: String] = [:]
    /// What is known by other names than its own.
    var aliases = AliasTable()
    /// When what nobody wants any more goes: names, or `*` for a wildcard.
    var lingering: [String: Instant] = [:]

    /// SotW: the `version_info` last accepted.
    var acceptedVersion = ""
    /// The server all that was accepted came from: versions mean something to that one only (UP-09).
    var acceptedFrom = ""
    /// Delta: the names that this server has sent, so that its versions of them are known (UP-09).
    var confirmed: Set<String> = []
    /// Delta: versions newer than those of the cached resources, under which the content was the same.
    var newerVersions: [String: String] = [:]
    /// Names whose next answer is published though it is what is held: it was fetched for a new subscriber (AGG-23).
    var renewing: Set<String> = []

    /// SotW: entries of responses that need not be read again.
    var known = KnownEntries()

    /// Whether what was accepted last came from a sibling relay instead of the origin.
    var isBorrowed = false

    // On the present stream:
    var isRequested = false
    /// Names that the server has been told.
    var toldNames: Set<String> = []
    /// Whether these are the present names.
    var isTold = false
    /// Names that were forgotten here while the server has not been told so. If one is wanted again the server must be
    /// made to send it again.
    var forgotten: Set<String> = []
    var toldWildcard = false
    /// What `initial_resource_versions` said; nil once the first answer is over.
    var presentedVersions: [String: String]?
    /// When the first answer counts as over, unless more of it comes; nil before its first response.
    var firstAnswerOver: Instant?
    /// The names that the first answer has mentioned so far.
    var mentioned: Set<String> = []
    /// Names of the cache that a full answer has not mentioned so far; nil: no full answer is under way.
    var unconfirmed: Set<String>?
    var sweepAt: Instant?
    /// When each name that has not been answered counts as not existing.
    var unanswered: [String: Instant] = [:]

    /// Whether the interest differs from what the server was told.
    var isDirty = false

    init(type: XDSType, lane: Lane, stream: Int) {
        self.type = type
        self.lane = lane
        self.stream = stream
    }

    /// Whether nothing is wanted, lingering included.
    var isEmpty: Bool {
        self.lane == .wildcard ? self.wildcardWorkers == 0 && self.lingering.isEmpty : self.names.isEmpty
    }

    /// The stream is gone; nothing that was said on it counts (UP-07, UP-08), and no name is timed out by it (UP-12).
    func streamClosed() {
        self.isRequested = false
        self.toldNames = []
        self.isTold = false
        self.forgotten = []
        self.toldWildcard = false
        self.presentedVersions = nil
        self.firstAnswerOver = nil
        self.mentioned = []
        self.unconfirmed = nil
        self.sweepAt = nil
        self.unanswered = [:]
        self.isDirty = false
    }

    // MARK: SotW

    /// A request with the present names; the nonce is the stream's to add.
    func sotwRequest(explicitWildcard: Bool, without left: Set<String> = []) -> OutgoingRequest {
        var request = OutgoingRequest(typeURL: self.type.typeURL)
        request.versionInfo = self.acceptedVersion
        if self.lane == .named {
            request.encodedNames = left.isEmpty ? self.namesInOrder() : self.encode { !left.contains($0) }
        } else if explicitWildcard {
            request.resourceNames = ["*"]
        }
        return request
    }

    /// Every ACK says all the names: they are put in order once.
    private func namesInOrder() -> [UInt8] {
        if let names = self.encodedNames { return names }
        let names = self.encode { _ in true }
        self.encodedNames = names
        return names
    }

    private func encode(where isIncluded: (String) -> Bool) -> [UInt8] {
        OutgoingRequest.encode(names: self.names.keys.filter(isIncluded).sorted())
    }

    // MARK: Delta

    /// The first request on a stream: all names, and what is held (UP-08).
    func firstDeltaRequest(held: [String: String], explicitWildcard: Bool) -> OutgoingDeltaRequest {
        var request = OutgoingDeltaRequest(typeURL: self.type.typeURL)
        if self.lane == .named {
            request.subscribe = self.names.keys.sorted()
        } else if explicitWildcard {
            request.subscribe = ["*"]
        }
        request.initialVersions = held.sorted { $0.key < $1.key }.map { .init(name: $0.key, version: $0.value) }
        return request
    }

    /// What changed since the server was last told; nil if nothing.
    func deltaChange() -> OutgoingDeltaRequest? {
        guard self.lane == .named else { return nil }
        let wanted = Set(self.names.keys)
        var request = OutgoingDeltaRequest(typeURL: self.type.typeURL)
        // Subscribing again makes a server send again (DELTA-05).
        request.subscribe = wanted.subtracting(self.toldNames.subtracting(self.forgotten)).sorted()
        request.unsubscribe = self.toldNames.subtracting(wanted).sorted()
        return request.subscribe.isEmpty && request.unsubscribe.isEmpty ? nil : request
    }
}
