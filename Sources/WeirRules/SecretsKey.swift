import WeirBase
import WeirXDS

/// Keeps the secrets of clients apart (AGG-24). A node says of itself what it likes; a verified certificate does not. A
/// client that has shown one is given secrets (SDS) only by a group of clients that have shown the same names, whatever
/// the rules make of its node: where the key does not hold its name anyway, the names are added to it.
///
/// Clients without a certificate have no identity that could be kept apart: they share secrets as the rules say.
enum SecretsKey {
    static func isNeeded(for request: RuleRequest) -> Bool {
        !request.peerSANs.isEmpty && request.typeURL == XDSType.sds.typeURL
    }

    /// Appends `#name+name`: neither character can come from a value that a rule puts into a key.
    static func append(to key: inout String, _ request: RuleRequest) {
        key += "#"
        for (index, name) in request.peerSANs.enumerated() {
            if index > 0 { key += "+" }
            appendPercentEncoded(name, to: &key)
        }
    }
}
