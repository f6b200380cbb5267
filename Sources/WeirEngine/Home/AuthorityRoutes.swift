import WeirXDS

/// Which upstream the names of an authority go to (NAME-07). Names without an authority are the own upstream's of a group.
/// So are all others while no upstream claims any authority; once one does, names of an authority that nobody claims are
/// nobody's.
package struct AuthorityRoutes: Sendable {
    private let upstreams: [String: String]

    /// `upstreams`: the name of the upstream of each authority.
    package init(_ upstreams: [String: String]) { self.upstreams = upstreams }

    package var isEmpty: Bool { self.upstreams.isEmpty }

    /// Stands for an upstream that nobody has configured, and that has nothing.
    static let nobody = ""

    /// The upstream that a name goes to, or `nobody`; nil for the group's own.
    func upstream(of name: String) -> String? {
        guard !self.isEmpty, let authority = ResourceName.authority(of: name) else { return nil }
        return self.upstreams[String(authority)] ?? Self.nobody
    }
}
