package import WeirBase
import WeirXDS

/// One type of a group, as the self-check client of a worker asks for it.
package struct SelfCheckPlace: Hashable, Comparable, Sendable {
    package var key: String
    package var typeURL: String

    package init(key: String, typeURL: String) {
        self.key = key
        self.typeURL = typeURL
    }

    package static func < (a: SelfCheckPlace, b: SelfCheckPlace) -> Bool { (a.key, a.typeURL) < (b.key, b.typeURL) }
}

/// The relay's own client on this worker: a stream like any other, from its first request to its acknowledgements, but for
/// three things. It is put into a group instead of being asked for its node; it asks only what some client of the group asks
/// already, so that nobody upstream hears of it; and it is counted nowhere, listed nowhere and never sent a push first.
extension Shard {
    /// What more than this would be sent to a new client, in resources and bytes, is not asked for: the answer would be
    /// encoded for the check alone.
    private static let answerMax = (resources: 4096, bytes: 4 << 20)

    /// The types that clients follow here and that something is held of.
    package var selfCheckPlaces: [SelfCheckPlace] {
        self.views.compactMap { view in
            guard let view = view, self.isCheckable(view), let key = self.groups[Int(view.group)]?.key else {
                return nil
            }
            return SelfCheckPlace(key: key, typeURL: view.type.typeURL)
        }
    }

    private func isCheckable(_ view: TypeView) -> Bool {
        view.generation > 0 && view.streams > 0 && view.staging.first == TypeStream.none
            && view.staging.rest == TypeStream.none && view.uncached.isEmpty
    }

    /// The newest state of a place that has come here, as its home calls it; nil if nobody follows it.
    package func selfCheckGeneration(_ place: SelfCheckPlace) -> Generation? {
        self.mainView(place.key, place.typeURL).flatMap { self.views[Int($0)]?.homeGeneration }
    }

    /// Opens the client's stream, and asks what some client of the place asks. Returns false if nobody there asks anything
    /// that is sure to be answered, or the answer would be too large.
    package func openSelfCheck(handle: UInt64, _ place: SelfCheckPlace) -> Bool {
        self.closeSelfCheck()
        guard let index = self.mainView(place.key, place.typeURL), let view = self.views[Int(index)],
            self.isCheckable(view), let (content, isDelta) = self.question(in: view),
            let service = DiscoveryService.all.first(where: {
                $0.type == nil && $0.variant == (isDelta ? .delta : .sotw)
            })
        else { return false }
        let id = self.open(handle: handle, service: service, peer: PeerIdentity(address: "self-check", names: []))
        self.selfCheck = id
        self.streams[id]?.identity = NodeIdentity(id: "weir-self-check", cluster: "", encoded: [])
        self.streams[id]?.group = view.group
        self.streams[id]?.takesTimeToLive = content.wrapsTimeToLive
        let names = (content.wildcard ? ["*"] : []) + content.names.map { view[$0].name }.sorted()
        self.selfCheckNames = names
        if isDelta {
            var request = OutgoingDeltaRequest(typeURL: place.typeURL)
            request.subscribe = names
            self.say(request.encoded, id, view)
        } else {
            var request = OutgoingRequest(typeURL: place.typeURL)
            request.resourceNames = names
            self.say(request.encoded, id, view)
        }
        return true
    }

    /// What a client here asks, and in which variant: the most usual of what is sure to be answered.
    private func question(in view: TypeView) -> (content: Subscription.Content, isDelta: Bool)? {
        var best: (content: Subscription.Content, isDelta: Bool, streams: Int)?
        for cohort in view.cohorts where !cohort.isEmpty {
            let streams = cohort.idle.count + cohort.awaiting.count
            guard streams > best?.streams ?? 0,
                let content = view.subscriptions[Int(cohort.subscription)]?.content,
                self.isAnswered(content, in: view)
            else { continue }
            best = (content, cohort.isDelta, streams)
        }
        return best.map { ($0.content, $0.isDelta) }
    }

    private func isAnswered(_ content: Subscription.Content, in view: TypeView) -> Bool {
        // A collection's members are found by its name only, and a wildcard's only once it was answered.
        guard content.globs.isEmpty, !content.wildcard || view.wildcardKnownAt > 0 else { return false }
        let names = content.names + (content.wildcard ? view.wildcardMembers : [])
        guard names.count <= Self.answerMax.resources else { return false }
        let visible = names.compactMap { view.visible($0, to: content) }
        let bytes = visible.reduce(0) { $0 + $1.encoded.count }
        return bytes <= Self.answerMax.bytes && (content.wildcard || !visible.isEmpty)
    }

    /// A response was taken by the client, in the round in which it was sent: it is no client's. Returns when the upstream
    /// bytes of the newest state were read.
    package func selfCheckTook(_ place: SelfCheckPlace) -> Instant? {
        guard let index = self.mainView(place.key, place.typeURL), let view = self.views[Int(index)] else { return nil }
        self.counterRows[view.counterRow].responses -= 1
        return view.receivedAt
    }

    /// The client accepts a response, in a later turn than it was sent, as any other does. False if it cannot be read.
    package func acceptSelfCheck(_ place: SelfCheckPlace, _ message: borrowing Span<UInt8>, nonce: Nonce) -> Bool {
        guard let id = self.selfCheck, let index = self.mainView(place.key, place.typeURL),
            let view = self.views[Int(index)], self.isOpen(id)
        else { return true }
        defer { self.drained(id) }
        do throws(WireError) {
            if self.links[Int(id.index)].isDelta {
                let response = try DeltaDiscoveryResponse(decoding: message)
                guard message.string(response.typeURL) == place.typeURL else { return false }
                var request = OutgoingDeltaRequest(typeURL: place.typeURL)
                request.responseNonce = nonce.text
                self.say(request.encoded, id, view)
            } else {
                let response = try DiscoveryResponse(decoding: message)
                guard message.string(response.typeURL) == place.typeURL else { return false }
                var request = OutgoingRequest(typeURL: place.typeURL)
                request.versionInfo = message.string(response.versionInfo)
                request.responseNonce = nonce.text
                request.resourceNames = self.selfCheckNames
                self.say(request.encoded, id, view)
            }
            return true
        } catch {
            return false
        }
    }

    /// Its requests are no client's.
    private func say(_ message: [UInt8], _ id: SlotID, _ view: TypeView) {
        let before = self.counterRows[view.counterRow]
        self.receive(id, message.span)
        self.counterRows[view.counterRow].requests = before.requests
        self.counterRows[view.counterRow].acks = before.acks
    }

    /// Whether the client is there, and somebody else in its place.
    package func keepsSelfCheck(_ place: SelfCheckPlace) -> Bool {
        guard let id = self.selfCheck, self.isOpen(id), let index = self.mainView(place.key, place.typeURL),
            let view = self.views[Int(index)]
        else { return false }
        return view.streams > 1 && self.isCheckable(view)
    }

    /// Whether the client has been sent the newest state that has come here.
    package var isSelfCheckCurrent: Bool {
        guard let id = self.selfCheck, self.isOpen(id) else { return false }
        let index = self.links[Int(id.index)].firstType
        guard index != TypeStream.none, let view = self.view(of: index) else { return false }
        let record = self.typeStreams[Int(index)]
        guard record.cohort != TypeStream.none, record.subscription != TypeStream.none else { return false }
        let changed = view.subscriptions[Int(record.subscription)]?.changed ?? 0
        return view.cohorts[Int(record.cohort)].generation >= changed
    }

    package func closeSelfCheck() {
        guard let id = self.selfCheck else { return }
        // In this order: what its end brings about is the client's, too.
        self.close(id)
        self.selfCheck = nil
    }

    /// Whether a stream slot is the client's.
    func isSelfCheck(stream: Int32) -> Bool { self.selfCheck.map { $0.index == UInt32(bitPattern: stream) } ?? false }
}
