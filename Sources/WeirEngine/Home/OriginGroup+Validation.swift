import WeirBase
import WeirXDS

/// A client that uses what it is sent looks at payloads; a relay does not (UP-04).
extension OriginGroup {
    /// The response, less the resources that the policy's judge rejects; they make it a NACK, and what is held of them stays
    /// (UP-05, UP-06).
    func validated(
        _ received: ReceivedResponse, _ type: XDSType, in message: borrowing Span<UInt8>
    ) -> ReceivedResponse {
        guard let validate = self.policy.validate else { return received }
        var result = received
        for resource in received.resources {
            guard let any = resource.any else { continue }
            let reason: String?
            do throws(WireError) {
                reason = validate(
                    try XDSResource(
                        type: type, name: resource.name, version: resource.version ?? "", any: any, in: message))
            } catch {
                reason = error.description
            }
            guard let reason = reason else { continue }
            result.reject("\"\(resource.name)\": \(reason)")
            result.badNames.insert(resource.name)
        }
        result.resources.removeAll { result.badNames.contains($0.name) }
        return result
    }
}
