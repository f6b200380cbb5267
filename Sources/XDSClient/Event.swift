public import WeirXDS

extension XDSClient {
    /// Something that happened to a client.
    public enum Event: Sendable {
        /// A stream to a server is open.
        case connected(server: String)
        /// There is no stream to any server, and why. What is held stays; the client goes on trying.
        case disconnected(server: String, reason: String)
        /// Resources came, changed or went; the response was acknowledged, or it is part of one that was not.
        case changed(Change)
        /// A response was answered with a NACK: it broke the protocol, or the validation threw. Resources of it that can be
        /// used come with a ``changed(_:)`` of their own.
        case rejected(type: XDSType, version: String, reason: String)
    }

    /// What one response changed in the resources of a type that the client holds.
    public struct Change: Sendable {
        /// The type of all resources.
        public let type: XDSType
        /// The control plane's version of the whole type; empty where it gives none.
        public let version: String
        /// Resources that are new or have new content, by name.
        public let updated: [XDSResource]
        /// The names of resources that are gone.
        public let removed: [String]
        /// Names that are subscribed to and do not exist at the control plane.
        public let missing: [String]
        /// Why the control plane does not send names, where it says so. What was held of them stays.
        public let errors: [String: ResourceError]
    }
}
