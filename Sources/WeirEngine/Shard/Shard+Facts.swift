package import WeirBase
package import WeirXDS

/// What is known of a stream without its subscriptions: for logs and traces.
package struct StreamFacts: Sendable {
    package var nodeID: String
    /// Of its first type; empty while it has none.
    package var key: String
    package var peer: String
    package var service: String
    package var variant: ProtocolVariant
    package var types: [XDSType]
}

extension Shard {
    /// One stream; nil if there is none. Linear in its types.
    package func facts(of id: SlotID) -> StreamFacts? {
        guard let stream = self.streams[id] else { return nil }
        var types: [XDSType] = []
        var key = ""
        var index = self.links[Int(id.index)].firstType
        while index != TypeStream.none {
            if let view = self.view(of: index) {
                if types.isEmpty { key = self.groups[Int(view.group)]?.key ?? "" }
                types.append(view.type)
            }
            index = self.typeStreams[Int(index)].next
        }
        return StreamFacts(
            nodeID: stream.identity?.id ?? "", key: key, peer: stream.peer.address, service: stream.service.label,
            variant: stream.service.variant, types: types)
    }
}
