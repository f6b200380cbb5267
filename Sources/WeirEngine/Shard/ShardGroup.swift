import WeirBase

/// A group as one worker knows it.
struct ShardGroup {
    let key: String
    let upstream: String
    let coldTimeout: Nanoseconds
    var views: [Int32] = []
    var origin = OriginState(isConnected: false, server: "", lastError: "")
    /// Since when the origin has not been connected for long.
    var disconnectedSince: Instant
    /// When it was last connected.
    var connectedSince = Instant(rawValue: 0)
    /// When the home was last asked to look for a sibling's content.
    var askedForWarmth: Instant?
}
