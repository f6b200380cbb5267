import WeirEngine
public import WeirXDS

extension XDSServer {
    /// Everything that the clients of one key are to have. An immutable value.
    ///
    /// A snapshot says everything: of a type without resources it says that there are none.
    public struct Snapshot: Sendable {
        let content: WeirEngine.Snapshot

        init(content: WeirEngine.Snapshot) { self.content = content }

        /// Makes a snapshot. Of several resources of a type with one name the last counts.
        ///
        /// - Parameters:
        ///   - resources: of all types, in any order. Their own `version` is not looked at: delta clients are given one that
        ///     is made of the content, the same on every server that has the same.
        ///   - version: what SotW clients see as `version_info`; empty: one is made of the content.
        public init(_ resources: [XDSResource], version: String = "") {
            self.content = WeirEngine.Snapshot(
                resources.map {
                    SnapshotResource(typeURL: $0.type.typeURL, name: $0.name, any: $0.encodedAny)
                }, version: version)
        }

        /// What the snapshot is called.
        public var version: String { self.content.version }

        /// How many resources it has, of all types.
        public var count: Int { self.content.resourceCount }
    }
}
