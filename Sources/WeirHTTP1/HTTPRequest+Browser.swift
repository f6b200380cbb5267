/// What a browser says about the page on whose behalf it asks.
extension HTTPRequest {
    /// Whether the page of another site had a browser send this, which every page can: a form needs nobody's leave.
    ///
    /// Programs that are no browsers send neither header and are never foreign. `Sec-Fetch-Site` is the browser's word
    /// where there is one; an `Origin` must otherwise name the host that was asked.
    package var isForeign: Bool {
        if let site = self.fetchSite { return site != "same-origin" && site != "none" }
        guard let origin = self.origin else { return false }
        guard let host = self.host, let scheme = origin.firstRange(of: "://") else { return true }
        return origin[scheme.upperBound...].lowercased() != host.lowercased()
    }

    /// Whether `Host` is an address, `localhost`, or not there: what it is when nobody plays with names.
    ///
    /// A name may be made to lead to 127.0.0.1 by whoever owns it; then the pages under it are of the same site as
    /// whatever listens there.
    package var isNamedByAddress: Bool {
        guard let host = self.host?.lowercased(), !host.isEmpty else { return true }
        if host.hasPrefix("[") { return true }
        let name = host.split(separator: ":", omittingEmptySubsequences: false)[0]
        if name == "localhost" || name.hasSuffix(".localhost") { return true }
        let parts = name.split(separator: ".", omittingEmptySubsequences: false)
        return parts.count == 4 && parts.allSatisfy { UInt8($0) != nil }
    }
}
