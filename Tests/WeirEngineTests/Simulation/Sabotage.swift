import WeirBase
import WeirXDS

@testable import WeirEngine

/// Breaks one promise of a relay on purpose, to see whether the simulation notices.
final class Sabotage {
    enum Kind: CaseIterable {
        case loseUpdate, routesBeforeClusters, foreignBody, oldVersion, repeatResponse, forgetStream
        case keepMember, loseHeartbeats, loseErrors, loseAlias, answerFromMemory

        /// Whether it is about what happens in rich runs only.
        var isRich: Bool { [.keepMember, .loseHeartbeats, .loseErrors, .loseAlias, .answerFromMemory].contains(self) }

        /// What the simulation says of it.
        var complaint: String {
            switch self {
            case .loseUpdate: "holds"
            case .routesBeforeClusters: "which is not held"
            case .foreignBody: "another group's"
            case .oldVersion: "after @"
            case .repeatResponse: "without cause"
            case .forgetStream: "streams"
            case .keepMember: "which is gone"
            case .loseHeartbeats: "@nothing"
            case .loseErrors: "was not told"
            case .loseAlias: "vhds: holds v/"
            case .answerFromMemory: "was not fetched"
            }
        }
    }

    private struct Key: Hashable {
        var handle: UInt64
        var type: XDSType
    }

    let kind: Kind
    /// How many occasions pass before it strikes, once.
    private var countdown: Int
    /// What was sent last, newest last.
    private var bodies: [Key: [[UInt8]]] = [:]

    init(_ kind: Kind, after countdown: Int) {
        self.kind = kind
        self.countdown = countdown
    }

    private func strikes() -> Bool {
        self.countdown -= 1
        return self.countdown == -1
    }

    /// A stream that ended is not closed.
    func forgets(_ client: RelayClient) -> Bool { self.kind == .forgetStream && self.strikes() }

    /// An update does not arrive, or not all of it.
    func lose(_ updates: inout [RelayHarness.ShardMail]) {
        if self.kind.isRich {
            for i in updates.indices {
                guard case .update(var update) = updates[i].content else { continue }
                update.changes.removeAll { self.loses($0) }
                if self.kind == .answerFromMemory { update.changes = update.changes.map(Self.withoutFlag) }
                updates[i].content = .update(update)
            }
        }
        guard self.kind == .loseUpdate else { return }
        updates.removeAll {
            guard case .update(let update) = $0.content else { return false }
            return !update.isFull && !update.changes.isEmpty && self.strikes()
        }
    }

    private func loses(_ change: ResourceChange) -> Bool {
        switch self.kind {
        case .keepMember:
            guard case .absent = change.presence, change.collection != nil else { return false }
            return true
        case .loseHeartbeats: return change.isRefresh && change.error == nil
        case .loseErrors: return change.error != nil
        case .loseAlias:
            guard case .present(let resource) = change.presence else { return false }
            return resource.aliases.contains(change.name)
        default: return false
        }
    }

    /// That it must be fetched each time is not noticed.
    private static func withoutFlag(_ change: ResourceChange) -> ResourceChange {
        guard case .present(let resource) = change.presence, resource.mustBeFetched else { return change }
        var change = change
        let bytes = resource.encoded
        change.presence = .present(
            Resource(
                name: resource.name, version: resource.version, type: XDSType.of(typeURL: "other"),
                any: resource.anyRange,
                timeToLive: resource.timeToLive, in: bytes.span))
        return change
    }

    func change(_ sends: inout [(UInt64, [UInt8], Nonce)], _ clients: [RelayClient]) {
        switch self.kind {
        case .routesBeforeClusters: self.swap(&sends)
        case .oldVersion: self.replace(&sends)
        case .foreignBody: self.mix(&sends, clients)
        case .repeatResponse:
            sends = sends.flatMap { send in
                self.strikes() ? [send, (send.0, send.1, Nonce(rawValue: send.2.rawValue + 0x80_0000))] : [send]
            }
        case .loseUpdate, .forgetStream, .keepMember, .loseHeartbeats, .loseErrors, .loseAlias, .answerFromMemory:
            return
        }
    }

    private static func type(_ body: [UInt8]) -> XDSType {
        let message = Array(body[5...])
        let span = message.span
        var reader = WireReader(ByteRange(offset: 0, count: span.count))
        while let field = try? reader.next(in: span) {
            if field.number == 4, let url = try? field.bytes() { return XDSType.of(typeURL: span.string(url)) }
        }
        return .cds
    }

    /// Always: what follows the clusters goes before them.
    private func swap(_ sends: inout [(UInt64, [UInt8], Nonce)]) {
        for i in sends.indices.dropFirst() where sends[i].0 == sends[i - 1].0 {
            if Self.type(sends[i - 1].1) == .cds, Self.type(sends[i].1) == .rds { sends.swapAt(i - 1, i) }
        }
    }

    /// Once: in place of a response comes the one before the last.
    private func replace(_ sends: inout [(UInt64, [UInt8], Nonce)]) {
        for i in sends.indices {
            let key = Key(handle: sends[i].0, type: Self.type(sends[i].1))
            let sent = self.bodies[key] ?? []
            self.bodies[key] = sent.suffix(1) + [sends[i].1]
            if sent.count == 2, self.strikes() { sends[i].1 = sent[0] }
        }
    }

    /// Once: a response has the content of another group's.
    private func mix(_ sends: inout [(UInt64, [UInt8], Nonce)], _ clients: [RelayClient]) {
        for i in sends.indices {
            guard let client = clients.first(where: { $0.handle == sends[i].0 }) else { continue }
            let type = Self.type(sends[i].1)
            // Kept by group and variant in place of the stream.
            func key(_ isOther: Bool) -> Key {
                Key(handle: (isOther ? 2 : 0) + (client.variant == .delta ? 1 : 0), type: type)
            }
            let isOther = client.group != "k"
            self.bodies[key(isOther)] = [sends[i].1]
            if let foreign = self.bodies[key(!isOther)]?.last, self.strikes() { sends[i].1 = foreign }
        }
    }
}
