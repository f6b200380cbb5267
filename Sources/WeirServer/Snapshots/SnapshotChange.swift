import WeirEngine
import WeirHTTP1
import WeirObserve
import WeirXDS

/// Why a snapshot is not put in the place of another.
enum SnapshotStop: Error {
    case error(SnapshotError)
    /// There is nothing to change, or nothing is to be changed.
    case nothing
}

/// One change of a key, or what it would be.
struct SnapshotChange {
    enum Outcome: String {
        case created, replaced, unchanged, removed

        var changes: Bool { self != .unchanged }

        var metric: SnapshotMetrics.Outcome {
            switch self {
            case .created, .replaced: .put
            case .unchanged: .unchanged
            case .removed: .removed
            }
        }
    }

    var key: String
    /// Nil: all types.
    var typeURL: String?
    var isDryRun: Bool
    var old: Snapshot?
    var new: Snapshot?
    /// Whether it is on the disk; nil where there is no store.
    var isStored: Bool?

    var outcome: Outcome {
        if self.new?.digest == self.old?.digest { return .unchanged }
        guard self.tag(of: self.new) != nil else { return .removed }
        return self.tag(of: self.old) == nil ? .created : .replaced
    }

    /// The entity tag of what is changed; nil: there is nothing.
    func tag(of snapshot: Snapshot?) -> String? {
        guard let typeURL = self.typeURL else { return snapshot?.tag }
        return snapshot?.content(ofType: typeURL)?.entityTag
    }

    /// The version of what is changed.
    var version: String? {
        guard let typeURL = self.typeURL else { return self.new?.version }
        return self.new?.content(ofType: typeURL)?.version
    }

    /// `If-Match` and `If-None-Match` (RFC 9110, 13.1), and that what is to be removed is there.
    func check(_ request: HTTPRequest) throws(SnapshotStop) {
        let tag = self.tag(of: self.old)
        let present = tag.map { "; it has \($0)" } ?? "; there is nothing"
        let headers = tag.map { [("ETag", $0)] } ?? []
        if let expected = request.ifMatch, !(tag.map { Negotiation.matchesStrongly(expected, tag: $0) } ?? false) {
            throw .error(
                SnapshotError(
                    412, "If-Match is \(expected)\(present): nothing was changed", .conflict, headers: headers))
        }
        if let unwanted = request.ifNoneMatch, let tag, Negotiation.matches(unwanted, tag: tag) {
            throw .error(
                SnapshotError(
                    412, "If-None-Match is \(unwanted)\(present): nothing was changed", .conflict, headers: headers))
        }
        if request.method == "DELETE", tag == nil {
            let type = self.typeURL.map { "type \(XDSType.of(typeURL: $0).label) of " } ?? ""
            throw .error(SnapshotError(404, "nothing was put for \(type)key \"\(self.key)\""))
        }
    }

    var auditFields: [(String, String)] {
        var fields = [("outcome", self.outcome.rawValue)]
        if let typeURL = self.typeURL { fields.append(("type", XDSType.of(typeURL: typeURL).label)) }
        if let version = self.version { fields.append(("version", version)) }
        if let new = self.new { fields.append(("resources", String(new.resourceCount))) }
        return fields + [("etag", self.tag(of: self.new) ?? "none")]
    }
}
