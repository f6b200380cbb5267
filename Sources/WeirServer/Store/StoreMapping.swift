import WeirBase
import WeirEngine
import WeirStore
import WeirTLS
import WeirXDS

extension RecordCipher: StoreCipher {}

/// The engine's terms in the store's, and back.
enum StoreMapping {
    // MARK: To the store

    static func record(_ head: StoredHead) -> TypeRecord {
        var record = TypeRecord()
        record.isDelta = head.variant == .delta
        record.wildcard = head.wildcard.map(self.lane)
        record.named = head.named.map(self.lane)
        record.equalVersions = head.equalVersions
        record.updated = head.updated
        record.hold = head.hold.map { TypeRecord.Hold(since: $0.since, detail: $0.detail, rejected: $0.rejected) }
        return record
    }

    private static func lane(_ lane: StoredLane) -> TypeRecord.Lane {
        var record = TypeRecord.Lane()
        record.version = lane.version
        record.isDerived = lane.isDerived
        record.acceptedVersion = lane.acceptedVersion
        record.acceptedFrom = lane.acceptedFrom
        return record
    }

    /// What a change does to the store; nil: nothing.
    static func resource(
        _ change: ResourceChange, source: String, now: Instant, wall: WallTime
    ) -> StoreChange.Resource? {
        let isWildcard = change.lane == .wildcard
        var record = ResourceRecord(name: change.name, isWildcard: isWildcard, presence: .absent)
        record.collection = change.collection
        switch change.presence {
        case .present(let resource):
            // What must come from the origin each time is not kept, nor what has no content.
            guard resource.hasBody, !resource.mustBeFetched else { break }
            record.presence = .present
            record.source = source
            record.element = Array(resource.encoded[resource.contentRange.offset...])
            if let limit = resource.timeToLive {
                record.timeToLive = limit.span
                record.expires = WallTime(rawValue: wall.rawValue &+ (limit.expires - now).rawValue)
            }
            return .put(record)
        case .populated:
            record.presence = .populated
            return .put(record)
        case .absent:
            // In a wildcard, and of what a collection brought, what is not there is nothing.
            if isWildcard || change.collection != nil { break }
            return .put(record)
        case .unknown:
            // An error says nothing of what is held.
            if change.isRefresh { return nil }
        }
        return .delete(name: change.name, isWildcard: isWildcard)
    }

    // MARK: From the store

    static func restored(_ type: StoredType, now: Instant, wall: WallTime) -> RestoredType {
        let record = type.record
        let head = StoredHead(
            variant: record.isDelta ? .delta : .sotw, wildcard: record.wildcard.map(self.lane),
            named: record.named.map(self.lane), equalVersions: record.equalVersions, updated: record.updated,
            hold: record.hold.map { StoredHold(since: $0.since, detail: $0.detail, rejected: $0.rejected) })
        let xdsType = XDSType.of(typeURL: type.typeURL)
        return RestoredType(
            typeURL: type.typeURL, head: head,
            entries: type.resources.compactMap { self.entry($0, xdsType, now, wall) })
    }

    private static func lane(_ lane: TypeRecord.Lane) -> StoredLane {
        StoredLane(
            version: lane.version, isDerived: lane.isDerived, acceptedVersion: lane.acceptedVersion,
            acceptedFrom: lane.acceptedFrom)
    }

    private static func entry(
        _ record: ResourceRecord, _ type: XDSType, _ now: Instant, _ wall: WallTime
    ) -> StoredEntry? {
        let presence: Presence
        switch record.presence {
        case .absent: presence = .absent
        case .populated: presence = .populated
        case .present:
            guard let resource = self.resource(record, type, now, wall) else { return nil }
            presence = .present(resource)
        }
        return StoredEntry(
            lane: record.isWildcard ? .wildcard : .named, name: record.name, presence: presence,
            collection: record.collection, source: record.source)
    }

    /// Nil if its time to live is over, or it cannot be read.
    static func resource(_ record: ResourceRecord, _ type: XDSType, _ now: Instant, _ wall: WallTime) -> Resource? {
        var timeToLive: TimeToLive?
        if let span = record.timeToLive, let expires = record.expires {
            guard expires > wall else { return nil }
            timeToLive = TimeToLive(span: span, from: now)
            timeToLive?.expires = now + Nanoseconds(rawValue: expires.rawValue - wall.rawValue)
        }
        let span = record.element.span
        let whole = ByteRange(offset: 0, count: record.element.count)
        guard let envelope = try? ResourceEnvelope(decoding: whole, in: span), let any = envelope.resource else {
            return nil
        }
        return Resource(
            name: span.string(envelope.name), version: span.string(envelope.version), type: type, any: any,
            extras: envelope.extras, aliases: envelope.aliases.map { ResourceName.canonical(span.string($0)) },
            timeToLive: timeToLive, in: span)
    }
}
