import WeirXDS

/// Which upstream the names of an authority go to (NAME-07). Everything else is the own upstream's of a group: names
/// without an authority, and those of authorities that no upstream claims.
package struct AuthorityRoutes: Sendable {
    private let upstreams: [String: String]

    /// `upstreams`: the name of the upstream of each authority.
    package init(_ upstreams: [String: String]) { self.upstreams = upstreams }

    package var isEmpty: Bool { self.upstreams.isEmpty }

    /// The upstream that claims the name; nil if none does.
    func upstream(of name: String) -> String? {
        guard !self.isEmpty, let authority = ResourceName.authority(of: name) else { return nil }
        return self.upstreams[String(authority)]
    }
}
