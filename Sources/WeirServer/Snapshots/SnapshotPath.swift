import WeirBase
import WeirConfig
import WeirXDS

/// What a path below `/v1/snapshots` stands for.
enum SnapshotPath: Hashable, Sendable {
    case list
    case key(String)
    /// One type of a key, by URL.
    case type(String, typeURL: String)

    static let root = "/v1/snapshots"
    static let keyBytesMax = 1024

    /// - Parameter rawPath: percent-encoded: a `/` that belongs to a key stands there as `%2F`.
    init(_ rawPath: String) throws(SnapshotError) {
        guard rawPath == Self.root || rawPath.hasPrefix(Self.root + "/") else {
            throw SnapshotError(404, "there is no path \(percentDecoded(rawPath)) here: all are below \(Self.root)")
        }
        let parts = rawPath.dropFirst(Self.root.count + 1).split(separator: "/", omittingEmptySubsequences: false)
            .map { percentDecoded($0) }
        if parts.isEmpty || parts == [""] {
            self = .list
            return
        }
        guard parts.count <= 2 else {
            throw SnapshotError(
                404, "the path has more parts than \(Self.root)/KEY/TYPE; a \"/\" in a key is written as %2F")
        }
        guard !parts[0].isEmpty, parts[0].utf8.count <= Self.keyBytesMax else {
            throw SnapshotError(400, "a key has 1 to \(Self.keyBytesMax) bytes")
        }
        guard parts.count == 2 else {
            self = .key(parts[0])
            return
        }
        guard let url = typeURL(named: parts[1]) else {
            let hint = nearestName(to: parts[1], among: XDSType.known.compactMap(\.shortName))
            throw SnapshotError(
                404,
                "\"\(parts[1])\" is no type: \(typeNameHint(parts[1]))" + (hint.map { "; did you mean \($0)?" } ?? ""))
        }
        self = .type(parts[0], typeURL: url)
    }
}

/// Why a request is not carried out.
struct SnapshotError: Error, Sendable {
    var status: Int
    var message: String
    var outcome: Outcome
    var headers: [(String, String)] = []

    enum Outcome: Sendable { case invalid, conflict, refused }

    init(_ status: Int, _ message: String, _ outcome: Outcome = .invalid, headers: [(String, String)] = []) {
        self.status = status
        self.message = message
        self.outcome = outcome
        self.headers = headers
    }
}
